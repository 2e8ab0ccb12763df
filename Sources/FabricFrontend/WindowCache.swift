internal import Glibc
internal import RDMATransport
internal import TopicLog
internal import TopicProtocol

/// Names a window: the grid's cells of a segment file are numbered from 0.
struct WindowKey: Hashable, Sendable {
    let partition: PartitionAddress
    let segment: SegmentID
    let number: Int64
}

/// A range of a segment file that WRITEs can come from.
final class Window {
    enum State {
        case preparing
        case ready(PinnedFile, RegionID)
    }

    let key: WindowKey
    let range: Range<Int64>
    let pin: FilePin
    fileprivate(set) var state = State.preparing
    /// WRITEs from it that have not completed.
    var readers = 0
    /// Whether a reader has come; one that was prepared ahead has not been of use before.
    var wasUsed = false
    /// Its file is gone: nobody will come any more.
    fileprivate(set) var isRetired = false
    /// When a reader came last, in nanoseconds of the monotonic clock.
    var usedAt: UInt64

    init(key: WindowKey, range: Range<Int64>, pin: FilePin, now: UInt64) {
        self.key = key
        self.range = range
        self.pin = pin
        usedAt = now
    }
}

/// The windows of one door: at most so many bytes, the one not used for longest dropped first.
///
/// A window begins at a multiple of its step and goes on behind the next one for a while, so that batches that lie
/// across have a window, too.
final class WindowCache {
    static let stepBytes: Int64 = 2 << 20
    /// What a window has beyond its step: a longer batch across two steps is read.
    static let overlapBytes: Int64 = 256 << 10
    /// Less is not worth a window.
    static let bytesMin = overlapBytes
    /// A window that nobody used for so long is dropped, in nanoseconds.
    static let idleNanoseconds: UInt64 = 10_000_000_000
    /// A window that was prepared and not used makes way after so long, in nanoseconds.
    static let unusedNanoseconds: UInt64 = 1_000_000_000

    private var windows: [WindowKey: Window] = [:]
    private var byteCount = 0
    /// Falls to what is held when the kernel refuses more.
    private(set) var byteCountMax: Int
    private let worker: WindowThread
    private var thread: WorkerThread?

    init(byteCountMax: Int, domain: ProtectionDomain?) {
        self.byteCountMax = byteCountMax
        worker = WindowThread(domain: domain)
    }

    var isEmpty: Bool { windows.isEmpty }
    var isOff: Bool { byteCountMax == 0 }
    var wakeDescriptor: Int32 { worker.wakeDescriptor }

    func find(_ key: WindowKey) -> Window? { windows[key] }

    /// The file range of a window, once all of it is written.
    static func range(_ number: Int64, of written: WrittenRange) -> Range<Int64>? {
        let start = number * stepBytes
        let end = start + stepBytes + overlapBytes
        if end <= written.end { return start..<end }
        guard written.isWhole, written.end - start >= bytesMin else { return nil }
        return start..<written.end
    }

    /// Has a window prepared, when there is room: others that nobody reads from make way, the one not used for longest
    /// first. One that still waits for its reader stays, for a while.
    func request(
        _ key: WindowKey, _ range: Range<Int64>, _ file: LogFile, now: UInt64, dropped: (RegionID) -> Void
    ) -> Bool {
        while byteCount + range.count > byteCountMax {
            let idle = windows.values.filter {
                $0.isIdle && ($0.wasUsed || now - $0.usedAt > Self.unusedNanoseconds)
            }
            let oldest = idle.min { $0.usedAt < $1.usedAt }
            guard let oldest else { return false }
            dropped(drop(oldest))
        }
        if thread == nil {
            thread = worker.start()
            guard thread != nil else { return false }
        }
        let window = Window(key: key, range: range, pin: FilePin(file, upTo: range.upperBound), now: now)
        windows[key] = window
        byteCount += range.count
        worker.prepare(WindowThread.Request(key: key, pin: window.pin, range: range))
        return true
    }

    /// Takes in what has been prepared.
    /// - Returns: Whether there was anything, and why the kernel refused one.
    func takePrepared(
        _ register: (PinnedFile) throws(FabricError) -> RegionID
    ) -> (isAny: Bool, refusal: FabricError?) {
        let outcomes = worker.takeOutcomes()
        var refusal: FabricError?
        for outcome in outcomes {
            let window = windows[outcome.request.key]!
            do throws(FabricError) {
                let file = try outcome.result.get()
                window.state = .ready(file, try register(file))
            } catch {
                windows[window.key] = nil
                byteCount -= window.range.count
                refusal = error
            }
        }
        if refusal != nil {
            byteCountMax = windows.values.reduce(0) { $0 + ($1.isReady ? $1.range.count : 0) }
        }
        return (!outcomes.isEmpty, refusal)
    }

    /// Marks windows of files that are gone: they are dropped as soon as nobody reads from them.
    func retire(_ isGone: (WindowKey) -> Bool) {
        for window in windows.values where isGone(window.key) { window.isRetired = true }
    }

    /// Drops what nobody has used for long, or ever will.
    func dropIdle(now: UInt64, dropped: (RegionID) -> Void) {
        for window in windows.values
        where window.isIdle && (window.isRetired || now - window.usedAt > Self.idleNanoseconds) {
            dropped(drop(window))
        }
    }

    /// Unregisters first, then hands the pages to the thread.
    private func drop(_ window: Window) -> RegionID {
        guard case .ready(let file, let region) = window.state else { preconditionFailure("not ready") }
        windows[window.key] = nil
        byteCount -= window.range.count
        worker.drop(file, window.pin)
        return region
    }

    func stop() {
        if let thread { worker.stop(thread) }
        thread = nil
        windows = [:]
    }
}

extension Window {
    fileprivate var isReady: Bool { if case .ready = state { true } else { false } }
    fileprivate var isIdle: Bool { isReady && readers == 0 }
}
