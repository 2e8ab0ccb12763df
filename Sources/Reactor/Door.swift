package import BrokerCore
package import Logging
package import TopicProtocol

/// A way into the broker, for the loop that owns them all: one call per turn, never per message.
package protocol Door: AnyObject {
    /// What the door is and where, for logs: `shm:///run/rdmad.sock`.
    var address: String { get }
    /// Takes in what has happened; batches that landed are staged with the broker. Returns how much it was.
    /// - Parameter now: Nanoseconds of the monotonic clock: read once a turn, for all.
    func poll(now: UInt64) -> Int
    /// All that had come before this time was served in ``poll(now:)``, in nanoseconds of the monotonic clock: who was
    /// silent since then, was; who was not may only have to wait.
    var heardUntil: UInt64 { get }
    /// Takes back the memory of the batches staged in this turn. The broker has written those that are listed.
    func batchesWritten(_ appended: [AppendedBatch])
    /// Sends answers that took time; those to sessions that are gone are dropped.
    func answer(_ answers: [GroupAnswer])
    /// Sends answers about transactions, of doors whose clients have some.
    func answer(_ answers: [TransactionAnswer])
    /// Sends the answers that had to wait for the disk.
    func answer(_ answers: [(origin: ProduceOrigin, result: TopicChange.Result)])
    /// Files of logs were removed: what is mapped of them goes.
    func filesWereDeleted()
    /// Sends acknowledgements and pushes what consumers can read, a turn's share to each.
    /// - Parameter readable: Partitions whose high watermark moved.
    /// - Returns: Whether there is more that can be pushed in the next turn.
    func deliver(_ acks: [(origin: ProduceOrigin, ack: ProduceAck)], readable: [Partition]) -> Bool
    /// Partitions went away, or what can be read of them: their consumers are told when they are next delivered to.
    func lookAtAllSubscriptions()
    /// When ``poll()`` is to be called again at the latest, in nanoseconds of the monotonic clock; nil: any time.
    var nextDeadline: UInt64? { get }
    /// Readable when there may be something to poll, after ``prepareToSleep()``.
    var pollDescriptor: Int32 { get }
    /// Readable when there is something to poll for that is not the fabric's.
    var wakeDescriptor: Int32 { get }
    func prepareToSleep() -> Bool
    func shutdown()
    /// What it has done since it opened, for the log.
    var metadata: Logger.Metadata { get }
}

extension Door {
    package func answer(_ answers: [TransactionAnswer]) {}
}
