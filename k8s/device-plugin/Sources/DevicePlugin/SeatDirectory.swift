internal import CNetlink
internal import Glibc

/// The node daemon's directory: a directory for each seat, the daemon's socket in it.
struct SeatDirectory: Sendable {
    let path: String

    /// Which of the first `count` seats the daemon holds. Its directories and sockets outlive it when it is killed.
    func seats(_ count: Int) -> [Bool] {
        let probe = cnetlink_datagram()
        guard probe >= 0 else { return .init(repeating: false, count: count) }
        defer { close(probe) }
        return (0..<count).map { unsafe cnetlink_is_held(probe, "\(path)/seat-\($0)/rdmad.sock") != 0 }
    }
}
