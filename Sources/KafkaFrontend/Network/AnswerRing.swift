/// The requests of a connection that have no answer yet, in their order. Answers come in any order and leave in theirs.
struct AnswerRing {
    /// A request and, when it is there, its answer.
    struct Slot {
        let version: Int16
        let correlationID: Int32
        var answer: Answer?
    }

    enum Answer {
        /// Of the reactor.
        case body(KafkaAnswer.Body)
        /// Of the event loop: a whole frame; none when it is empty.
        case frame([UInt8])
    }

    private var slots: [Slot?] = []
    /// Number of the oldest request, and of the next one.
    private var first: UInt32 = 0
    private var next: UInt32 = 0

    var isEmpty: Bool { first == next }
    var isFull: Bool { next &- first == UInt32(NetworkConfiguration.inFlightMax) }
    var isReady: Bool { !isEmpty && slots[Self.index(first)]?.answer != nil }

    /// A place for the answer to a request.
    /// - Returns: the request's number.
    mutating func add(version: Int16, correlationID: Int32) -> UInt32 {
        precondition(!isFull, "more requests than may be in flight")
        if slots.isEmpty { slots = Array(repeating: nil, count: NetworkConfiguration.inFlightMax) }
        let number = next
        slots[Self.index(number)] = Slot(version: version, correlationID: correlationID)
        next &+= 1
        return number
    }

    /// - Returns: false when no such request waits.
    mutating func fill(_ number: UInt32, _ answer: Answer) -> Bool {
        guard number &- first < next &- first, slots[Self.index(number)]?.answer == nil else { return false }
        slots[Self.index(number)]?.answer = answer
        return true
    }

    /// The oldest request, when its answer is there.
    mutating func takeReady() -> Slot? {
        guard isReady else { return nil }
        defer { first &+= 1 }
        return slots[Self.index(first)].take()
    }

    /// In flight are a power of two, so that numbers may wrap.
    private static func index(_ number: UInt32) -> Int { Int(number) & (NetworkConfiguration.inFlightMax - 1) }
}
