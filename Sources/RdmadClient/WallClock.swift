internal import Glibc
internal import RDMATransport

/// The monotonic clock, for batches that are opened in quick succession: a few share a reading. Reading it is a system
/// call under some hypervisors, and dearer than what else a batch costs.
struct BatchClock {
    private static let sharedMax = 4
    private var last: UInt64 = 0
    private var shared = 0

    /// - Parameters:
    ///   - isSoon: Little time has passed since the last call: a batch has become full, which lingers for some
    ///     milliseconds at most unless the link is held up.
    ///   - read: The clock; another one for tests.
    mutating func time(isSoon: Bool, _ read: () -> UInt64 = monotonicNanoseconds) -> UInt64 {
        if isSoon, last != 0, shared < Self.sharedMax {
            shared += 1
        } else {
            (last, shared) = (read(), 0)
        }
        return last
    }
}

/// Milliseconds since 1970, for who has just read the monotonic clock: of two clocks only one is read each time.
struct WallClock {
    /// The clock is looked at so often: who sets it sees the effect so much later.
    private static let refreshNanoseconds: UInt64 = 100_000_000

    /// The two clocks, when they were last read together.
    private var read: (monotonic: UInt64, wall: Int64)?

    /// - Parameter now: The time on the monotonic clock, in nanoseconds.
    mutating func milliseconds(at now: UInt64) -> Int64 {
        if let read, now >= read.monotonic, now - read.monotonic < Self.refreshNanoseconds {
            return read.wall + Int64((now - read.monotonic) / 1_000_000)
        }
        let wall = Self.read()
        read = (now, wall)
        return wall
    }

    static func read() -> Int64 {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }
}
