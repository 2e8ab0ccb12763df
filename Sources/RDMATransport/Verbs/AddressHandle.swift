internal import CVerbs

/// A way to one port, for datagrams. Verbs: `ibv_create_ah(3)`, `ibv_create_ah_from_wc(3)`.
///
/// Keeps its protection domain alive; keep it until the requests that name it have completed.
/// - Threading: thread-safe; nothing changes after `init`.
@safe public final class AddressHandle: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_ah>
    private let domain: ProtectionDomain

    /// A way to an address. `localGIDIndex` names our own address: of the same kind.
    public init(
        to address: GID, port: Int = 1, localGIDIndex: Int, hopLimit: UInt8 = 64, in domain: ProtectionDomain
    ) throws(FabricError) {
        var vector = address.addressVector(port: port, localGIDIndex: localGIDIndex, hopLimit: hopLimit)
        unsafe raw = try VerbsCall.nonNull(
            "ibv_create_ah", ibv_create_ah(domain.raw, &vector), "cannot reach \(address) from port \(port)")
        self.domain = domain
    }

    /// The way back to whoever sent a datagram.
    /// - Parameter header: The first 40 bytes of the receive: its global routing header.
    public init(
        answering completion: WorkCompletion, header: RawSpan, port: Int = 1, in domain: ProtectionDomain
    ) throws(FabricError) {
        precondition(header.byteCount >= datagramHeaderBytes)
        var raw = completion.raw
        var route = ibv_grh()
        unsafe withUnsafeMutableBytes(of: &route) { target in
            unsafe header.withUnsafeBytes { unsafe target.copyMemory(from: .init(rebasing: $0.prefix(target.count))) }
        }
        unsafe self.raw = try VerbsCall.nonNull(
            "ibv_create_ah_from_wc", ibv_create_ah_from_wc(domain.raw, &raw, &route, UInt8(port)),
            "cannot find the way back")
        self.domain = domain
    }

    init(_ vector: ibv_ah_attr, in domain: ProtectionDomain) throws(FabricError) {
        var vector = vector
        unsafe raw = try VerbsCall.nonNull("ibv_create_ah", ibv_create_ah(domain.raw, &vector), "cannot reach the peer")
        self.domain = domain
    }

    deinit { unsafe ibv_destroy_ah(raw) }

    /// A queue pair at that port, for ``SendOperation/sendTo(_:)``.
    public func destination(queuePair: UInt32, queueKey: UInt32) -> DatagramDestination {
        unsafe DatagramDestination(handle: raw, queuePair: queuePair, queueKey: queueKey)
    }
}

/// A queue pair somewhere, and the queue key that it wants. Names an ``AddressHandle`` without keeping it.
///
/// - Threading: thread-safe: the handle's C struct never changes.
@safe public struct DatagramDestination: @unchecked Sendable {
    let handle: UnsafeMutablePointer<ibv_ah>
    /// The peer's queue pair.
    public let queuePair: UInt32
    /// The peer's queue key.
    public let queueKey: UInt32
}

/// Bytes in front of each received datagram: the global routing header (or, on RoCE v2 over IPv4, 20 unused bytes and
/// the IPv4 header).
public let datagramHeaderBytes = 40
