internal import CLinux
import Glibc

/// One connection's cold side: the socket, what is mapped, who the peer is. Messages go through its lane.
@safe final class SharedMemoryConnection {
    enum State {
        /// Server: the peer has connected and not said hello.
        case greeting
        /// Server: waits for the user's answer. Client: waits for the server's.
        case requested
        case established
        /// Gone; kept while the user holds messages of it.
        case dead
    }

    let id: ConnectionID
    let socket: Int32
    /// By which of our listeners it came; nil when we connected.
    let listener: Int?
    var state: State
    var privateData: [UInt8] = []
    private(set) var peerDescription = "unknown peer"
    /// From ``attach(rings:slotCount:slotBytes:isServer:configuration:)`` on.
    private(set) var lane: UnsafeMutablePointer<SharedMemoryLane>?

    private var ringMemory: MemoryBlock?
    private var peerMemory: [MemoryBlock] = []
    private var peerMemoryBytes: UInt64 = 0

    init(id: ConnectionID, socket: Int32, state: State, listener: Int? = nil) {
        self.id = id
        self.socket = socket
        self.listener = listener
        self.state = state
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        if unsafe clinux_peer_credentials(socket, &pid, &uid, &gid) == 0 { peerDescription = "pid \(pid), uid \(uid)" }
    }

    deinit {
        if let lane = unsafe lane {
            unsafe lane.pointee.deallocate()
            unsafe lane.deallocate()
        }
        Glibc.close(socket)
    }

    /// Bytes of the memfd that holds both rings.
    static func ringBytes(slotCount: UInt32, slotBytes: Int) -> Int {
        unsafe 2 * SharedRing.byteCount(slotCount: slotCount, slotBytes: slotBytes)
    }

    /// Lays the rings out in `memory`: the server's incoming ring first, its outgoing one behind it.
    func attach(
        rings memory: MemoryBlock, slotCount: UInt32, slotBytes: Int, isServer: Bool,
        configuration: FabricConfiguration
    ) -> UnsafeMutablePointer<SharedMemoryLane> {
        let half = unsafe SharedRing.byteCount(slotCount: slotCount, slotBytes: slotBytes)
        let base = unsafe memory.bytes.baseAddress!
        let first = unsafe SharedRing(at: base, slotCount: slotCount, slotBytes: slotBytes)
        let second = unsafe SharedRing(at: base + half, slotCount: slotCount, slotBytes: slotBytes)
        let made = UnsafeMutablePointer<SharedMemoryLane>.allocate(capacity: 1)
        unsafe made.initialize(
            to: SharedMemoryLane(
                id: id, socket: socket, out: isServer ? second : first, incoming: isServer ? first : second,
                configuration: configuration))
        ringMemory = memory
        unsafe lane = unsafe made
        return unsafe made
    }

    /// Unmaps what was shared; the private copies of messages stay. No call may follow that touches rings or regions.
    func unmap() {
        ringMemory = nil
        peerMemory = []
    }

    var holdsMessages: Bool { unsafe lane?.pointee.holdsMessages ?? false }

    /// Takes a region that the peer shares. Refused: see ``MemoryBlock/init(fromPeer:byteCount:writable:)``.
    func addPeerRegion(
        key: UInt32, access: UInt8, byteCount: UInt64, descriptor: Int32, limits: FabricConfiguration
    ) throws(FabricError) {
        guard let lane = unsafe lane, peerMemory.count < limits.peerRegionsMax, unsafe !lane.pointee.hasPeerRegion(key),
            access == 1 || access == 2, byteCount <= limits.peerMemoryBytesMax - peerMemoryBytes
        else {
            Glibc.close(descriptor)
            throw FabricError(.limit, operation: "share", "the peer shares too much memory")
        }
        let memory = try MemoryBlock(fromPeer: descriptor, byteCount: byteCount, writable: access == 2)
        peerMemory.append(memory)
        peerMemoryBytes += byteCount
        unsafe lane.pointee.addPeerRegion(key: key, isWritable: access == 2, memory.bytes)
    }
}
