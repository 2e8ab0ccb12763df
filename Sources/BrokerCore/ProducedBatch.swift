package import TopicProtocol

/// Where an acknowledgement goes: a door's number and the door's own number for the connection.
package struct ProduceOrigin: Sendable {
    package var door: Int
    package var session: UInt64
    package var requestID: UInt32
    package init(door: Int, session: UInt64, requestID: UInt32) {
        self.door = door
        self.session = session
        self.requestID = requestID
    }
}

/// A batch that has landed and passed its check.
///
/// - Ownership: the bytes belong to the door and stay untouched until ``Broker/commit(now:)`` returns.
@safe package struct ProducedBatch {
    package var bytes: UnsafeMutableRawBufferPointer
    package var origin: ProduceOrigin
    package init(bytes: UnsafeMutableRawBufferPointer, origin: ProduceOrigin) {
        unsafe self.bytes = bytes
        self.origin = origin
    }
}

/// What the broker tells a door after a turn.
package struct BrokerEffects {
    /// Acknowledgements by door, in the order in which they became due.
    package var acks: [[(origin: ProduceOrigin, ack: ProduceAck)]]
    /// Some partition's high watermark moved, or a partition went away: consumers may have something to read.
    package var isReadable = false
    /// What an operator should know, by partition: a full disk, a failed sync, damage.
    package var troubles: [String: String] = [:]
    /// What retention or compaction could not do.
    package var maintenanceTroubles: [String] = []

    init(doors: Int) { acks = Array(repeating: [], count: doors) }
}
