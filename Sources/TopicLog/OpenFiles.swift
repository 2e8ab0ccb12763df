internal import Glibc

/// Bounds how many segments keep a descriptor: of those that wait for no sync, the ones not used for longest are
/// closed, and opened again when they are needed (the clock algorithm: a hand goes round and spares what was used
/// since).
///
/// A segment with bytes that no sync has covered stays open, whatever the bound: the kernel reports a failed write-back
/// to the descriptors that were open when it happened.
/// - Threading: one owner, the log's.
final class OpenFiles {
    private struct Slot {
        weak var segment: Segment?
    }

    private var slots: [Slot] = []
    private var hand = 0
    private let limit: Int

    /// - Parameter limit: Half of the process's descriptors unless given: the rest is for connections.
    init(limit: Int = 0) {
        self.limit = limit > 0 ? limit : max(16, sysconf(Int32(_SC_OPEN_MAX)) / 2)
    }

    /// How many are open, or were lately.
    var count: Int { slots.count }

    /// Takes note of a segment that was opened, and closes others if there are too many.
    func add(_ segment: Segment) {
        // A bounded search: where everything waits for a sync, a long one would find nothing either.
        for _ in 0..<64 where slots.count >= limit {
            hand = hand + 1 < slots.count ? hand + 1 : 0
            if let other = slots[hand].segment, other.isOpen {
                if other.isDirty || other.wasUsed {
                    other.wasUsed = false
                    continue
                }
                other.closeFile()
            }
            slots.swapAt(hand, slots.count - 1)
            slots.removeLast()
        }
        slots.append(Slot(segment: segment))
    }
}
