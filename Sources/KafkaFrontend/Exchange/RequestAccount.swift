internal import KafkaProtocol
internal import Reactor
internal import Synchronization

/// Requests that were read and are not served yet, those of all connections: when they are too much, nothing more is
/// read until the reactor has served some. Kafka bounds their number (`queued.max.requests`); here it is memory.
///
/// Whoever finds room takes as much as it needs: each event loop is beyond the bound by one request at most. So that
/// few that take long do not keep everybody else out, a client of which nothing waits is served a short request in any
/// case.
/// - Threading: any thread.
final class RequestAccount: Sendable {
    /// About what a request takes that had so many bytes: where it is nothing but elements of arrays, of two bytes
    /// each, an element becomes up to 40 bytes; and it has no more than ``WireLimits/elementsMax``.
    static func bytes(ofRequest byteCount: Int) -> Int {
        1024 + byteCount + 16 * min(byteCount, 2 * WireLimits.elementsMax)
    }

    /// The same of a Produce request, whose memory is a ``FramePool``'s.
    static func bytes(ofBatches count: Int) -> Int { 1024 + 128 * count }

    /// What is short: a heartbeat, a login, a commit. Those of 20,000 clients come to 0.7 GB at the very most.
    static let shortRequestBytes = 2048

    /// How long event loops may take to read what they have put off, in nanoseconds.
    private static let graceNanoseconds: UInt64 = 1_000_000_000

    private let bytesMax: Int
    private let held = Atomic<Int>(0)
    private let hasWaiters = Atomic<Bool>(false)
    private let waiters = Mutex<[@Sendable () -> Void]>([])
    /// Since when there are connections that are not read, or have just been woken; `.max`: there are none.
    private let waitingSince = Atomic<UInt64>(.max)
    private let wokenAt = Atomic<UInt64>(0)

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// What is held now.
    var bytes: Int { held.load(ordering: .relaxed) }

    var isFull: Bool { held.load(ordering: .sequentiallyConsistent) >= bytesMax }

    /// Whether there is room; if not, `whenThere` is called when there is, on any thread.
    /// - Parameter whenThere: Makes what is called: only for who must wait.
    func hasRoom(orElse whenThere: () -> @Sendable () -> Void) -> Bool {
        guard isFull else { return true }
        _ = waitingSince.compareExchange(
            expected: .max, desired: Clock.monotonicNanoseconds(), ordering: .sequentiallyConsistent)
        waiters.withLock { waiters in
            waiters.append(whenThere())
            hasWaiters.store(true, ordering: .sequentiallyConsistent)
        }
        // What was given back before that has woken nobody.
        if held.load(ordering: .sequentiallyConsistent) < bytesMax { wake() }
        return false
    }

    /// Up to when all that clients have sent was read, in nanoseconds of the monotonic clock: who is silent since then
    /// may only not be read.
    func heardUntil(now: UInt64) -> UInt64 {
        let since = waitingSince.load(ordering: .sequentiallyConsistent)
        guard since != .max else { return now }
        let isOver =
            !hasWaiters.load(ordering: .sequentiallyConsistent)
            && now >= wokenAt.load(ordering: .sequentiallyConsistent) + Self.graceNanoseconds
        guard isOver else { return min(since, now) }
        waitingSince.store(.max, ordering: .sequentiallyConsistent)
        // Who came to wait meanwhile found the old time there.
        guard hasWaiters.load(ordering: .sequentiallyConsistent) else { return now }
        waitingSince.store(since, ordering: .sequentiallyConsistent)
        return min(since, now)
    }

    func take(_ bytes: Int) -> RequestShare {
        held.add(bytes, ordering: .sequentiallyConsistent)
        return RequestShare(self, bytes)
    }

    /// Not for each little room: all that wait are woken.
    fileprivate func giveBack(_ bytes: Int) {
        let left = held.subtract(bytes, ordering: .sequentiallyConsistent).newValue
        if left <= bytesMax / 4 * 3, hasWaiters.load(ordering: .sequentiallyConsistent) { wake() }
    }

    private func wake() {
        let woken = waiters.withLock { waiters in
            defer { waiters = [] }
            wokenAt.store(Clock.monotonicNanoseconds(), ordering: .sequentiallyConsistent)
            hasWaiters.store(false, ordering: .sequentiallyConsistent)
            return waiters
        }
        for waiter in woken { waiter() }
    }
}

/// What a request has of a ``RequestAccount``: as long as somebody keeps this.
final class RequestShare: Sendable {
    private let account: RequestAccount
    private let bytes: Int

    fileprivate init(_ account: RequestAccount, _ bytes: Int) {
        self.account = account
        self.bytes = bytes
    }

    deinit { account.giveBack(bytes) }
}
