import RDMATransport

// rdma-echo: sends the messages of one client back. rdma-echo HOST: sends ten messages and checks the answers.
@MainActor struct Side: ~Copyable {
    let queue: CompletionQueue, queuePair: QueuePair, pool: BufferPool

    /// A queue pair for a connection, with four receives posted before the peer can send.
    init(_ connection: ConnectionIdentifier) throws {
        let domain = try ProtectionDomain(context: connection.context!)
        let queue = try CompletionQueue(context: domain.context, depth: 16)
        let options = QueuePairOptions(depths: .init(send: 4, receive: 4))
        let queuePair = try QueuePair(options, on: connection, in: domain, sends: queue, receives: queue)
        let pool = try BufferPool(bufferBytes: 1024, count: 8, in: domain)
        for _ in 0..<4 { try queuePair.postReceive(pool.take()!).get() }
        self.queue = queue
        self.queuePair = queuePair
        self.pool = pool
    }

    /// Hands over every message until `body` says false or the peer has left. What was sent becomes a receive.
    consuming func run(_ body: (borrowing QueuePair, consuming RegisteredBuffer) throws -> Bool) throws {
        var isOpen = true
        while isOpen {
            for index in 0..<queue.wait(milliseconds: 100) {
                let completion = queue[index], buffer = pool.reclaim(completion)
                if completion.status != .success { isOpen = false; continue }
                if completion.operation != .receive { try queuePair.postReceive(buffer).get(); continue }
                if try !body(queuePair, buffer) { isOpen = false }
            }
            if let event = channel.next(), event.kind == .disconnected { isOpen = false }
        }
        try queuePair.close(returning: pool)
    }
}

let channel = try EventChannel()
let connection = try ConnectionIdentifier(channel: channel)
if let host = CommandLine.arguments.dropFirst().first {
    try connection.resolveAddress(host: host, port: 18600, timeoutMilliseconds: 2000)
    _ = try channel.wait(for: .addressResolved)
    try connection.resolveRoute(timeoutMilliseconds: 2000)
    _ = try channel.wait(for: .routeResolved)
    let side = try Side(connection)
    try connection.connect()
    _ = try channel.wait(for: .established)
    var buffer = side.pool.take()!, count = 1
    buffer.copy(from: Array("message 1".utf8))
    try side.queuePair.post(.send, buffer).get()
    try side.run { queuePair, answer in
        var buffer = answer
        precondition(buffer.contents() == Array("message \(count)".utf8), "the answer differs")
        count += 1
        buffer.copy(from: Array("message \(count)".utf8))
        if count <= 10 { try queuePair.post(.send, buffer).get() }
        return count <= 10
    }
    connection.disconnect()
    print("10 messages came back")
} else {
    try connection.bind(host: "0.0.0.0", port: 18600)
    try connection.listen(backlog: 1)
    let client = try channel.wait(for: .connectRequest, seconds: 3600).request!
    let side = try Side(client)
    try client.accept()
    _ = try channel.wait(for: .established)
    try side.run { queuePair, buffer in try queuePair.post(.send, buffer).get(); return true }
}
