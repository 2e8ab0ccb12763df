import Foundation
import RDMATransport

/// The ends of one process, by number, and the commands that drive them.
package final class VerbsEnds {
    private var ends: [Int: VerbsEnd] = [:]
    private var next = 1
    private var manager: VerbsManager?

    package init() {}

    /// Does it. Whatever goes wrong is in the reply.
    package func perform(_ command: VerbsEndCommand) -> VerbsEndReply {
        do { return try run(command) } catch {
            var reply = VerbsEndReply()
            reply.error = String(describing: error)
            reply.errorCode = (error as? FabricError)?.code.rawValue
            return reply
        }
    }

    private func run(_ command: VerbsEndCommand) throws -> VerbsEndReply {
        var reply = VerbsEndReply()
        switch command {
        case .make(let options): reply = try add(VerbsEnd(options))
        case .connect(let id, let path): try ends[id]!.connect(path)
        case .fill(let id, let offset, let count, let seed):
            unsafe UnsafeMutableRawBufferPointer(rebasing: ends[id]!.memory.bytes[offset..<offset + count])
                .copyBytes(from: pattern(count, seed: seed))
        case .bytes(let id, let offset, let count):
            reply.bytes = unsafe Array(ends[id]!.memory.bytes[offset..<offset + count])
        case .sum(let id, let offset, let count):
            reply.workID = unsafe checksum(ends[id]!.memory.bytes[offset..<offset + count])
        case .receive(let id, let workID, let runs): reply.outcome = "\(ends[id]!.receive(workID, runs))"
        case .post(let id, let posts): reply.outcome = "\(try ends[id]!.post(posts))"
        case .complete(let id): reply = try ends[id]!.completion(waiting: true)!
        case .poll(let id): reply = try ends[id]!.completion(waiting: false) ?? reply
        case .arm(let id, let solicitedOnly): ends[id]!.completions.arm(solicitedOnly: solicitedOnly)
        case .completionEvent(let id, let milliseconds):
            let queue = ends[id]!.completions
            reply.isFound = isReadable(queue.descriptor, milliseconds)
            reply.byteCount = queue.takeEvents()
        case .attributes(let id):
            let attributes = try ends[id]!.queuePair.attributes()
            reply.state = attributes.state.rawValue
            reply.queuePair = attributes.peerQueuePair
            reply.byteCount = attributes.mtuBytes
        case .drop(let id): ends[id] = nil
        default: reply = try runRare(command)
        }
        return reply
    }

    /// Takes an end in; what the other side must know of it.
    package func add(_ end: VerbsEnd) throws -> VerbsEndReply {
        var reply = try end.describe()
        reply.end = next
        ends[next] = end
        next += 1
        return reply
    }

    private func runRare(_ command: VerbsEndCommand) throws -> VerbsEndReply {
        var reply = VerbsEndReply()
        switch command {
        case .window(let id, let isType2):
            reply.remoteKey = try ends[id]!.makeWindow(isType2 ? .type2 : .type1)
        case .bindType1(let id, let offset, let count, let access):
            reply.remoteKey = try ends[id]!.bindWindow(offset, count, MemoryAccess(rawValue: access))
        case .armShared(let id, let limit):
            try ends[id]!.shared!.arm(limit: limit)
            reply.byteCount = try ends[id]!.shared!.armedLimit()
        case .deviceEvent(let id, let milliseconds):
            let context = ends[id]!.context
            if isReadable(context.eventDescriptor, milliseconds), let event = context.nextEvent() {
                reply.isFound = true
                (reply.event, reply.element) = (event.kind.rawValue, event.element)
            }
        case .move(let id, let move):
            let end = ends[id]!
            switch move {
            case .error: end.queuePair.moveToError()
            case .reset: try end.queuePair.reset()
            case .drain: try end.queuePair.drainSendQueue()
            case .initialize: try end.queuePair.initialize(access: .remoteWrite)
            }
        case .joinGroup(let id, let address, let isLeaving):
            let group = GID(bytes: address)
            if isLeaving {
                try ends[id]!.queuePair.detach(from: group)
            } else {
                try ends[id]!.queuePair.attach(to: group)
            }
        case .manage(.reset): manager = nil
        case .manage(let command):
            if manager == nil { manager = try VerbsManager() }
            reply = try manager!.perform(command, self)
        default: throw ScenarioFailure("not a command: \(command)")
        }
        return reply
    }

    /// The other process's life: a command a line, a reply a line.
    package func serve() {
        while let line = readLine() {
            guard let command = try? JSONDecoder().decode(VerbsEndCommand.self, from: Data(line.utf8)),
                let answer = try? JSONEncoder().encode(perform(command))
            else { return print("not understood: \(line)") }
            print(String(decoding: answer, as: UTF8.self))
            fflush(nil)
        }
    }
}

/// Waits for a descriptor to become readable.
package func isReadable(_ descriptor: Int32, _ milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, milliseconds) == 1
}

/// Ends in another process.
package final class VerbsEndsProcess: @unchecked Sendable {  // one exchange at a time: the lock
    private let child: ChildProcess
    private let input: FileHandle
    private let output: FileHandle
    private var buffered = Data()
    private let lock = NSLock()

    /// One for all tests: starting a process is dear in the guest.
    package static let common = Result { try VerbsEndsProcess() }

    package init() throws {
        // A peer that was killed is an error of the next exchange, not of this process.
        _ = Foundation.signal(SIGPIPE, SIG_IGN)
        let (commands, answers) = (try makePipe(), try makePipe())
        let path = ChildProcess.programs.appendingPathComponent("fabric-peer").path
        child = try ChildProcess([path, "ends"], input: commands.read, output: answers.write)
        close(commands.read)
        close(answers.write)
        input = FileHandle(fileDescriptor: commands.write, closeOnDealloc: true)
        output = FileHandle(fileDescriptor: answers.read, closeOnDealloc: true)
    }

    /// SIGKILL.
    package func kill() { child.kill() }
    /// SIGSTOP, SIGCONT.
    package func signal(_ number: Int32) { child.signal(number) }

    package func perform(_ command: VerbsEndCommand) throws -> VerbsEndReply {
        lock.lock()
        defer { lock.unlock() }
        try input.write(contentsOf: try JSONEncoder().encode(command) + Data("\n".utf8))
        while true {
            if let end = buffered.firstIndex(of: 10) {
                let line = buffered[..<end]
                buffered = Data(buffered[(end + 1)...])
                return try JSONDecoder().decode(VerbsEndReply.self, from: line)
            }
            try expect(isReadable(output.fileDescriptor, 60_000), "the other process says nothing")
            let piece = output.availableData
            try expect(!piece.isEmpty, "the other process has ended")
            buffered += piece
        }
    }
}
