package import RDMATransport

/// Where the far end of a pair is.
package enum Placement: CaseIterable, Sendable {
    case sameProcess
    case twoProcesses
}

/// One end as a test sees it, wherever it is.
package final class VerbsEndHandle {
    package let about: VerbsEndReply
    private let send: (VerbsEndCommand) throws -> VerbsEndReply

    package init(_ options: VerbsEndOptions, _ send: @escaping (VerbsEndCommand) throws -> VerbsEndReply) throws {
        self.send = send
        about = try Self.checked(send(.make(options)))
    }

    /// One that is there already.
    init(_ about: VerbsEndReply, _ send: @escaping (VerbsEndCommand) throws -> VerbsEndReply) {
        self.send = send
        self.about = about
    }

    deinit { _ = try? send(.drop(end: about.end)) }

    private static func checked(_ reply: VerbsEndReply) throws -> VerbsEndReply {
        if let error = reply.error { throw VerbsEndFailure(description: error, code: reply.errorCode) }
        return reply
    }

    /// Does something with it.
    @discardableResult package func perform(_ command: (Int) -> VerbsEndCommand) throws -> VerbsEndReply {
        try Self.checked(send(command(about.end)))
    }

    package func connect(to peer: VerbsEndHandle, _ path: VerbsEndPath = VerbsEndPath()) throws {
        var path = path
        (path.queuePair, path.address) = (peer.about.queuePair, peer.about.address)
        try perform { .connect(end: $0, path) }
    }

    package func fill(_ offset: Int, _ count: Int, seed: UInt8) throws {
        try perform { .fill(end: $0, offset: offset, count: count, seed: seed) }
    }

    package func bytes(_ offset: Int, _ count: Int) throws -> [UInt8] {
        try perform { .bytes(end: $0, offset: offset, count: count) }.bytes
    }

    /// Order-dependent sum of its memory: for more bytes than a reply should carry.
    package func sum(_ offset: Int, _ count: Int) throws -> UInt64 {
        try perform { .sum(end: $0, offset: offset, count: count) }.workID
    }

    @discardableResult package func receive(_ offset: Int, _ count: Int, workID: UInt64 = 500) throws -> String {
        try receive([VerbsRun(offset, count)], workID: workID)
    }

    @discardableResult package func receive(_ runs: [VerbsRun], workID: UInt64 = 500) throws -> String {
        try perform { .receive(end: $0, workID: workID, runs: runs) }.outcome
    }

    /// Posts one request, which must be taken.
    package func post(
        _ operation: VerbsPost.Operation, _ offset: Int = 0, _ count: Int = 0,
        _ change: (inout VerbsPost) -> Void = { _ in }
    ) throws {
        var post = VerbsPost(operation)
        if count > 0 { post.runs = [VerbsRun(offset, count)] }
        change(&post)
        let outcome = try self.post([post])
        try expect(outcome == "posted", "\(operation) answered \(outcome)")
    }

    package func post(_ posts: [VerbsPost]) throws -> String { try perform { .post(end: $0, posts) }.outcome }

    package func completion() throws -> VerbsEndReply { try perform { .complete(end: $0) } }

    /// The next completion, which must be a success.
    @discardableResult package func success(_ workID: UInt64? = nil) throws -> VerbsEndReply {
        let reply = try completion()
        try expect(reply.status == 0, "work \(reply.workID) ended with status \(reply.status)")
        if let workID { try expect(reply.workID == workID, "work \(reply.workID) completed, not \(workID)") }
        return reply
    }

    package func poll() throws -> VerbsEndReply? {
        let reply = try perform { .poll(end: $0) }
        return reply.isFound ? reply : nil
    }

    package var state: QueuePairState {
        get throws { QueuePairState(rawValue: try perform { .attributes(end: $0) }.state) }
    }
}

/// An end's error, from wherever it is.
package struct VerbsEndFailure: Error, CustomStringConvertible {
    package let description: String
    package let code: String?
}

/// Two ends, connected: the near one in this process, the far one where the test wants it.
package struct VerbsPair {
    package let near: VerbsEndHandle
    package let far: VerbsEndHandle

    package init(
        _ placement: Placement, connected: Bool = true, path: VerbsEndPath = VerbsEndPath(),
        process: VerbsEndsProcess? = nil, near nearOptions: VerbsEndOptions? = nil,
        _ configure: (inout VerbsEndOptions) -> Void = { _ in }
    ) throws {
        var options = VerbsEndOptions()
        configure(&options)
        let ends = VerbsEnds()
        near = try VerbsEndHandle(nearOptions ?? options) { ends.perform($0) }
        switch placement {
        case .sameProcess: far = try VerbsEndHandle(options) { ends.perform($0) }
        case .twoProcesses:
            let process = try process ?? VerbsEndsProcess.common.get()
            far = try VerbsEndHandle(options) { try process.perform($0) }
        }
        guard connected else { return }
        try far.connect(to: near, path)
        try near.connect(to: far, path)
    }
}

extension VerbsPost {
    /// Aims at a place in the peer's memory.
    package mutating func aim(at peer: VerbsEndHandle, _ offset: Int = 0) {
        remoteKey = peer.about.remoteKey
        remoteAddress = peer.about.remoteAddress &+ UInt64(bitPattern: Int64(offset))
    }
}
