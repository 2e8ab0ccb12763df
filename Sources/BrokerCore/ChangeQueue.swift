/// Changes of topics that wait, with who asked, oldest first. Those at the front go at no cost for those behind.
struct ChangeQueue {
    typealias Element = (change: TopicChange, origin: ProduceOrigin)

    private var all: [Element] = []
    /// The index of the oldest.
    private var head = 0

    var count: Int { all.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Element? { isEmpty ? nil : all[head] }
    /// All, oldest first.
    var waiting: ArraySlice<Element> { all[head...] }

    mutating func append(_ element: Element) { all.append(element) }

    /// - Complexity: O(`removed`) on average: what has gone is dropped when it is half.
    mutating func removeFirst(_ removed: Int = 1) {
        precondition(removed <= count, "more than there are")
        head += removed
        guard 2 * head >= all.count else { return }
        all.removeFirst(head)
        head = 0
    }
}
