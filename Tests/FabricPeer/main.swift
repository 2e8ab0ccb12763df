// The other process of two-process transport tests: connects, does what it is told, leaves when the tester does.
// Usage: fabric-peer shm PATH | rdma HOST PORT | storm HOST PORT COUNT | ends
import Glibc
import RDMATransport
import TransportTestSupport

func run<F: Fabric>(_ fabric: F, _ connection: ConnectionID, attack: ((PeerCommand, RemoteSlice) -> PostResult)?) throws
{
    let driver = Driver(fabric)
    _ = try driver.waitEstablished()
    var writable: MemoryBlock?
    var readable: [MemoryBlock] = []
    var hoards = false
    func answer(_ bytes: [UInt8]) throws { try driver.post { send(bytes, on: connection, of: $0) } }
    while true {
        let event: FabricEvent = try driver.wait(for: "event", seconds: 60) { event in
            switch event {
            case .received, .immediate, .disconnected: event
            default: nil
            }
        }
        switch event {
        case .immediate(_, let value): try answer(littleEndian(value))
        case .disconnected(_, let reason):
            print("disconnected \(reason)")
            return
        case .received(let message):
            let bytes = unsafe Array(fabric.bytes(of: message))
            if hoards { continue }
            fabric.release(message)
            switch PeerCommand(rawValue: bytes[0])! {
            case .echo: try answer(Array(bytes[1...]))
            case .exposeForReading:
                let content = pattern(Int(integer(bytes, at: 1, as: UInt32.self)), seed: bytes[5])
                let memory = try MemoryBlock(byteCount: content.count, name: "peer")
                unsafe memory.bytes.copyBytes(from: content)
                readable.append(memory)
                try answer(encode(try fabric.share(try fabric.register(memory, access: .read), on: connection)))
            case .exposeForWriting:
                let memory = try MemoryBlock(byteCount: Int(integer(bytes, at: 1, as: UInt32.self)), name: "peer")
                writable = memory
                try answer(encode(try fabric.share(try fabric.register(memory, access: .write), on: connection)))
            case .checksum: try answer(littleEndian(unsafe checksum(writable!.bytes)))
            case .attackRead, .attackWrite, .attackAtomic:
                let remote = RemoteSlice(key: integer(bytes, at: 1), address: integer(bytes, at: 5))
                guard attack!(PeerCommand(rawValue: bytes[0])!, remote) == .posted else { fatalError("not posted") }
                print("attack \(try driver.waitCompletion(token: 99))")
                fflush(nil)
            case .flood:
                for number in 0..<integer(bytes, at: 1, as: UInt32.self) {
                    try answer(littleEndian(number) + [UInt8](repeating: 7, count: 60))
                }
            case .leave: fabric.disconnect(connection)
            case .hoard: hoards = true
            }
        default: break
        }
    }
}

let arguments = CommandLine.arguments
do {
    if arguments.count == 3, arguments[1] == "shm" {
        let fabric = try SharedMemoryFabric(configuration: .client)
        try run(fabric, try fabric.connect(path: arguments[2], privateData: Array("peer".utf8)), attack: nil)
    } else if arguments.count == 4, arguments[1] == "rdma" {
        let port = UInt16(arguments[3])!
        let fabric = try VerbsFabric(towards: arguments[2], port: port, configuration: .client)
        let id = try fabric.connect(host: arguments[2], port: port, privateData: Array("peer".utf8))
        let mine = try fabric.register(try MemoryBlock(byteCount: 4096, name: "peer"), access: .write)
        let slice = LocalSlice(region: mine, offset: 0, count: 8)
        try run(fabric, id) { command, remote in
            switch command {
            case .attackRead: fabric.read(on: id, from: remote, into: slice, token: 99)
            case .attackWrite: fabric.write(on: id, slice, nil, to: remote, immediate: nil, token: 99)
            default: fabric.compareAndSwap(on: id, remote, compare: 0, swap: 1, into: slice, token: 99)
            }
        }
    } else if arguments.count == 2, arguments[1] == "ends" {
        VerbsEnds().serve()
    } else if arguments.count == 5, arguments[1] == "storm" {
        // Many connections that do nothing.
        var configuration = FabricConfiguration()
        configuration.messagesInFlight = 8
        configuration.postedMax = 16
        configuration.messageBufferBytes = 1024
        let port = UInt16(arguments[3])!
        let fabric = try VerbsFabric(towards: arguments[2], port: port, configuration: configuration)
        let driver = Driver(fabric)
        for _ in 0..<Int(arguments[4])! { _ = try fabric.connect(host: arguments[2], port: port, privateData: []) }
        while true {
            driver.turn()
            driver.seen[0].removeAll()
            usleep(1000)
        }
    } else if arguments.count == 4, arguments[1] == "agitate" {
        try Endurance.agitate(path: arguments[2], seed: UInt64(arguments[3])!)
    } else if arguments.count == 5, arguments[1] == "endure" {
        var endurance = try Endurance(seed: UInt64(arguments[4])!)
        switch arguments[2] {
        case "deaths": try endurance.deaths(Int(arguments[3])!)
        case "lies": try endurance.lies(Int(arguments[3])!)
        default: try endurance.connects(Int(arguments[3])!)
        }
    } else {
        print(
            "usage: fabric-peer shm PATH | rdma HOST PORT | agitate PATH SEED | endure deaths|lies|connects COUNT SEED")
        exit(64)
    }
} catch {
    print("fabric-peer: \(error)")
    exit(1)
}
