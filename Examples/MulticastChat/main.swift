import Glibc
import RDMATransport

// A chat by datagrams to a multicast group: rdma-chat LOCAL-ADDRESS GROUP NAME, such as 10.9.0.1 239.9.9.9 ada.
// Each line of standard input goes to everybody in the group; what others say is printed. Ends with its input.
let arguments = CommandLine.arguments
guard arguments.count == 4 else {
    print("usage: rdma-chat LOCAL-ADDRESS GROUP NAME")
    exit(64)
}
let channel = try EventChannel()
let member = try ConnectionIdentifier(channel: channel, service: .datagram)
try member.bind(host: arguments[1], port: 0)
let domain = try ProtectionDomain(context: member.context!)
let queue = try CompletionQueue(context: domain.context, depth: 64)
let options = QueuePairOptions(.unreliableDatagram, depths: .init(send: 16, receive: 16))
let queuePair = try QueuePair(options, on: member, in: domain, sends: queue, receives: queue)
let pool = try BufferPool(bufferBytes: 1024, count: 32, in: domain)
for _ in 0..<16 { try queuePair.postReceive(pool.take()!).get() }

try member.joinMulticast(arguments[2])
let group = try channel.wait(for: .multicastJoined).datagramPeer!
let way = try group.addressHandle(in: domain)
let everybody = way.destination(queuePair: group.queuePair, queueKey: group.queueKey)
print("joined \(arguments[2])")
fflush(nil)

/// Prints what others said, and turns what was sent into receives again.
@MainActor func handleCompletions(_ count: Int) throws {
    for index in 0..<count {
        let completion = queue[index]
        let buffer = pool.reclaim(completion)
        guard completion.operation == .receive else { continue }
        // What we send to the group comes back to us too.
        if completion.sourceQueuePair != queuePair.number {
            print(String(decoding: buffer.contents().dropFirst(datagramHeaderBytes), as: UTF8.self))
            fflush(nil)
        }
        try queuePair.postReceive(buffer).get()
    }
}

var line: [UInt8] = []
var isOpen = true
while isOpen {
    queue.arm()
    try handleCompletions(queue.poll())
    var watched = [
        pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    guard unsafe poll(&watched, 2, -1) > 0 else { continue }
    queue.takeEvents()
    try handleCompletions(queue.poll())
    guard watched[0].revents != 0 else { continue }
    var piece = [UInt8](repeating: 0, count: 512)
    let count = unsafe read(STDIN_FILENO, &piece, piece.count)
    isOpen = count > 0
    line += piece[..<max(0, count)]
    while let end = line.firstIndex(of: 10), var message = pool.take() {
        let text = Array("\(arguments[3]): ".utf8) + line[..<end].prefix(900)
        line.removeSubrange(...end)
        unsafe message.copy(from: text.span.bytes)
        try queuePair.post(.sendTo(everybody), message).get()
    }
}
try member.leaveMulticast(arguments[2])
