import Glibc
import RDMATransport

// A table that clients read with RDMA READs: the server's program sleeps while they do.
//   rdma-kv                    serves a table of a thousand keys, `key-0` ... `key-999`
//   rdma-kv HOST KEY...        looks keys up
//
// Slot: key 32 bytes | value 32 bytes, zero-padded. A key's slot is its hash; a taken slot leads to the next one.
let slotBytes = 64, slotCount = 4096, port: UInt16 = 18601

/// FNV-1a: client and server must agree, so not Swift's own seeded hash.
func hash(_ key: [UInt8]) -> Int { Int(key.reduce(0x811c_9dc5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }) % slotCount }

func padded(_ text: String) -> [UInt8] { (Array(text.utf8) + [UInt8](repeating: 0, count: 32)).prefix(32).map { $0 } }

func serve() throws {
    let channel = try EventChannel()
    let listener = try ConnectionIdentifier(channel: channel)
    try listener.bind(host: "0.0.0.0", port: port)
    try listener.listen(backlog: 16)
    // The device is known with the first request: a listener may be bound to every device at once.
    var request: ConnectionIdentifier?
    print("waiting on port \(port)")
    fflush(nil)
    request = try channel.wait(for: .connectRequest, seconds: 3600).request
    let domain = try ProtectionDomain(context: request!.context!)
    let memory = try MemoryBlock(byteCount: slotBytes * slotCount)
    fill(memory)
    let table = try MemoryRegion(memory, access: .remoteRead, in: domain)
    let queue = try CompletionQueue(context: domain.context, depth: 64)
    while let client = request {
        // Only the client's device reads; this side posts nothing.
        let queuePair = try QueuePair(
            QueuePairOptions(depths: .init(send: 1, receive: 1)), on: client, in: domain, sends: queue, receives: queue)
        var parameters = ConnectionParameters()
        parameters.privateData = Array("\(table.remoteKey) \(table.address)".utf8)
        try client.accept(parameters)
        _ = try channel.wait(for: .established)
        _ = try channel.wait(for: .disconnected, seconds: 3600)
        client.disconnect()
        queuePair.close()
        request = try channel.wait(for: .connectRequest, seconds: 3600).request
    }
}

func fill(_ memory: MemoryBlock) {
    for number in 0..<1000 {
        let key = padded("key-\(number)")
        var slot = hash(key)
        while unsafe memory.bytes[slot * slotBytes] != 0 { slot = (slot + 1) % slotCount }
        for (index, byte) in (key + padded("value \(number * number)")).enumerated() {
            unsafe memory.bytes[slot * slotBytes + index] = byte
        }
    }
}

func lookUp(_ host: String, _ keys: [String]) throws {
    let channel = try EventChannel()
    let connection = try ConnectionIdentifier(channel: channel)
    try connection.resolveAddress(host: host, port: port, timeoutMilliseconds: 2000)
    _ = try channel.wait(for: .addressResolved)
    try connection.resolveRoute(timeoutMilliseconds: 2000)
    _ = try channel.wait(for: .routeResolved)
    let domain = try ProtectionDomain(context: connection.context!)
    let queue = try CompletionQueue(context: domain.context, depth: 16)
    let queuePair = try QueuePair(
        QueuePairOptions(depths: .init(send: 1, receive: 1)), on: connection, in: domain, sends: queue, receives: queue)
    let pool = try BufferPool(bufferBytes: slotBytes, count: 1, in: domain)
    try connection.connect()
    let said = try channel.wait(for: .established).privateData.prefix { $0 != 0 }
    let words = String(decoding: said, as: UTF8.self).split(separator: " ")
    guard words.count == 2, let remoteKey = UInt32(words[0]), let address = UInt64(words[1]) else {
        return print("the server is no key-value server")
    }
    for key in keys {
        var slot = hash(padded(key))
        var reads = 0
        var value: String?
        while reads < slotCount {
            var buffer = pool.take()!
            buffer.byteCount = slotBytes
            let place = RemoteSlice(key: remoteKey, address: address + UInt64(slot * slotBytes))
            try queuePair.post(.read(place), buffer).get()
            var count = 0
            while count == 0 { count = queue.wait() }
            guard queue[0].status == .success else { return print("the read failed: \(queue[0].status)") }
            var read = pool.reclaim(queue[0])
            read.byteCount = slotBytes
            let bytes = read.contents()
            reads += 1
            if bytes[0] == 0 { break }
            if Array(bytes[..<32]) == padded(key) {
                value = String(decoding: bytes[32...].prefix { $0 != 0 }, as: UTF8.self)
                break
            }
            slot = (slot + 1) % slotCount
        }
        print("\(key): \(value ?? "not there") (\(reads) \(reads == 1 ? "read" : "reads"))")
    }
    connection.disconnect()
}

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.count > 1 { try lookUp(arguments[0], Array(arguments[1...])) } else { try serve() }
