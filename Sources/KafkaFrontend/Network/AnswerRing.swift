internal import KafkaProtocol
internal import TopicLog

/// The requests of a connection that have no answer yet, in their order. Answers come in any order and leave in theirs.
struct AnswerRing {
    /// A request and, when it is there, its answer.
    struct Slot {
        let version: Int16
        let correlationID: Int32
        var answer: Answer?
    }

    enum Answer {
        /// A whole frame; none when it is empty.
        case frame([UInt8])
        /// - Parameter ranges: One for each gap.
        case fetch(EncodedFrame, ranges: [FileRange])

        var byteCount: Int {
            switch self {
            case .frame(let bytes): bytes.count
            case .fetch(let frame, _): frame.bytes.count
            }
        }
    }

    private var slots: [Slot?] = []
    /// Number of the oldest request, and of the next one.
    private var first: UInt32 = 0
    private var next: UInt32 = 0
    /// Of the answers that are here.
    private(set) var byteCount = 0

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

    /// A request that waits for its answer.
    func waiting(_ number: UInt32) -> Slot? {
        guard number &- first < next &- first, let slot = slots[Self.index(number)], slot.answer == nil else {
            return nil
        }
        return slot
    }

    /// Gives a request that waits its answer.
    mutating func fill(_ number: UInt32, _ answer: Answer) {
        slots[Self.index(number)]!.answer = answer
        byteCount += answer.byteCount
    }

    /// The oldest request, when its answer is there.
    mutating func takeReady() -> Answer? {
        guard isReady, let answer = slots[Self.index(first)].take()?.answer else { return nil }
        first &+= 1
        byteCount -= answer.byteCount
        return answer
    }

    /// In flight are a power of two, so that numbers may wrap.
    private static func index(_ number: UInt32) -> Int { Int(number) & (NetworkConfiguration.inFlightMax - 1) }
}
