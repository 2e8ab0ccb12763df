internal import TopicProtocol

/// One partition that a consumer reads: where its reader is, and what the broker has been asked for.
///
/// A seek or a pause begins another *epoch*: what came, or comes, of an earlier one is dropped. The broker knows
/// nothing of epochs; that a subscription's last entry has come is known by the answer to UNSUBSCRIBE, which follows
/// it. So a partition is subscribed again only then.
final class FetchedPartition: @unchecked Sendable {
    // Unchecked: used under the lock of the consumer it belongs to.
    let name: TopicPartition
    /// Where to begin while there is no offset.
    private(set) var start: Consumer.Position
    /// Offset of the next record to hand out; nil until the broker has said where the start is.
    var position: Int64?
    /// Offset of the next record to be queued.
    var fetched: Int64?
    /// Offset after the last record there was when the broker last said so.
    var highWatermark: Int64?
    /// Of the records handed out.
    var progress: ConsumptionProgress?
    /// What the group is known to have committed.
    var committed: Int64?
    var isPaused = false { didSet { if isPaused != oldValue { epoch += 1 } } }
    /// Whether it is to be read: not any more, or not yet, otherwise.
    var isActive: Bool
    /// False: forgotten as soon as the broker has let go of it.
    var isAssigned = true
    private(set) var epoch = 0
    var phase = Phase.idle
    /// Whether the broker has found the place in the log where reading was last to begin.
    var isFound = false
    /// The log has nothing at `fetched`: it goes on elsewhere once the reader has what was received.
    var isOutOfRange = false
    /// The group has committed nothing, and there is no setting that says where to begin then.
    var lacksOffset = false
    /// Counted as one that the consumer's start waits for.
    var isStarted = false

    enum Phase: Equatable {
        case idle
        /// A request is on its way that begins this epoch.
        case subscribing(epoch: Int)
        case streaming(epoch: Int)
        case unsubscribing
    }

    init(_ name: TopicPartition, start: Consumer.Position, isActive: Bool = true) {
        self.name = name
        self.start = start
        self.isActive = isActive
        restart(from: start)
    }

    var isWanted: Bool { isAssigned && isActive && !isPaused }

    /// Whether an entry that comes now is of what is wanted now.
    var acceptsEntries: Bool {
        isWanted && (phase == .streaming(epoch: epoch) || phase == .subscribing(epoch: epoch))
    }

    /// Goes on elsewhere.
    func restart(from start: Consumer.Position) {
        epoch += 1
        self.start = start
        (position, fetched, progress) = (nil, nil, nil)
        (isFound, isOutOfRange, lacksOffset) = (false, false, false)
        if case .offset(let offset) = start { begin(at: offset) }
    }

    /// Learns where the start is.
    func begin(at offset: Int64) {
        position = position ?? offset
        fetched = fetched ?? offset
        progress = progress ?? ConsumptionProgress(from: offset)
    }

    /// Forgets what was fetched and not handed out.
    func rewind() {
        fetched = position
        isOutOfRange = false
    }
}
