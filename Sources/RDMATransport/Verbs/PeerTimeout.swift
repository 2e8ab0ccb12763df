/// How soon a silent peer is given up, in the terms of verbs.
///
/// Half of the time is for something to be under way: an idle connection is probed that often. The other half is for
/// the device's retries: it sends a packet seven times, and waits each time for one to four times what the code says.
/// Source: InfiniBand Architecture Specification 1, transport timer; `ibv_modify_qp(3)`.
struct PeerTimeout {
    /// Retries of a packet without an acknowledgement. Not 7: Soft-RoCE takes it for "for ever" and would never notice
    /// that a link is cut.
    static let retryCount: UInt8 = 6

    /// 4.096 µs × 2^code without an acknowledgement, and a packet is sent again.
    let acknowledgementTimeoutCode: UInt8
    /// Time between two probes.
    let probeNanoseconds: UInt64

    init(milliseconds: Int) {
        precondition((100...600_000).contains(milliseconds), "the peer's time-out is 100...600,000 ms")
        probeNanoseconds = UInt64(milliseconds) * 500_000
        let waitsMax = 4 * (UInt64(Self.retryCount) + 1)
        var code: UInt8 = 1
        while waitsMax * 4096 << (code + 1) <= probeNanoseconds { code += 1 }
        acknowledgementTimeoutCode = code
    }
}
