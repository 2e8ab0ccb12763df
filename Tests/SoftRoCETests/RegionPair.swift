import RDMATransport
import Testing
import TransportTestSupport

/// Two connected ends: this process's as an object, so that a test can register memory beside it, and the other's.
struct RegionPair {
    let end: VerbsEnd
    let near: VerbsEndHandle
    let far: VerbsEndHandle

    static let everything: MemoryAccess = [.localWrite, .remoteRead, .remoteWrite, .remoteAtomic]

    init(
        process: VerbsEndsProcess? = nil, path: VerbsEndPath = VerbsEndPath(),
        _ configure: (inout VerbsEndOptions) -> Void = { _ in }
    ) throws {
        var options = VerbsEndOptions()
        configure(&options)
        end = try VerbsEnd(options)
        near = try VerbsEndHandle(end)
        let process = try process ?? VerbsEndsProcess.common.get()
        far = try VerbsEndHandle(options) { try process.perform($0) }
        try far.connect(to: near, path)
        try near.connect(to: far, path)
    }

    /// Has the other process reach for `count` bytes of memory of ours; how that ended.
    func farStatus(
        _ operation: VerbsPost.Operation, _ remote: RemoteSlice, count: Int = 8, offset: Int = 0
    ) throws -> WorkCompletion.Status {
        try far.post(operation, offset, count) {
            ($0.remoteKey, $0.remoteAddress) = (remote.key, remote.address)
        }
        return .init(rawValue: try far.completion().status)
    }

    /// The other process writes a pattern into a region of ours and reads it back elsewhere.
    func expectReachable(
        _ remote: RemoteSlice, _ memory: UnsafeRawBufferPointer, at location: SourceLocation = #_sourceLocation
    ) throws {
        let count = memory.count
        try far.fill(0, count, seed: 0x5a)
        #expect(try farStatus(.write, remote, count: count) == .success, sourceLocation: location)
        #expect(unsafe Array(memory) == pattern(count, seed: 0x5a), sourceLocation: location)
        #expect(try farStatus(.read, remote, count: count, offset: 65536) == .success, sourceLocation: location)
        #expect(try far.bytes(65536, count) == pattern(count, seed: 0x5a), sourceLocation: location)
    }
}
