/// What a control batch says: how a producer's transaction ended in its partition.
///
/// Its one record:
/// ```
/// key    version i16 = 0 | type i16: 0 abort, 1 commit
/// value  version i16 = 0 | coordinatorEpoch i32
/// ```
/// Source: kafka.apache.org, "Control Batches"; Kafka's EndTxnMarker.json.
package struct EndTransactionMarker: Hashable, Sendable {
    /// Whether the transaction's records count.
    package var isCommit: Bool
    /// Of the coordinator that has written it.
    package var coordinatorEpoch: Int32

    /// The size of a whole batch with a marker.
    package static let batchBytes = RecordBatchHeader.byteCount + 17

    package init(isCommit: Bool, coordinatorEpoch: Int32 = 0) {
        self.isCommit = isCommit
        self.coordinatorEpoch = coordinatorEpoch
    }

    /// Reads one.
    /// - Parameter batch: A control batch; it need not be sound.
    /// - Returns: nil when it is a marker of another kind, or malformed.
    package init?(_ batch: UnsafeRawBufferPointer) {
        guard var reader = unsafe try? RecordReader(batch), let record = (try? reader.next()) ?? nil,
            let key = unsafe record.key, key.count >= 4
        else { return nil }
        switch unsafe key.bigEndian(Int16.self, at: 2) {
        case 0: isCommit = false
        case 1: isCommit = true
        default: return nil
        }
        coordinatorEpoch = -1
        if let value = unsafe record.value, value.count >= 6 {
            coordinatorEpoch = unsafe value.bigEndian(Int32.self, at: 2)
        }
    }

    /// Builds the batch.
    /// - Parameter buffer: At least `batchBytes` (programmer error otherwise).
    /// - Returns: how many bytes it takes.
    package func write(
        to buffer: UnsafeMutableRawBufferPointer, producerID: Int64, epoch: Int16, timestampMilliseconds: Int64
    ) -> Int {
        var builder = unsafe RecordBatchBuilder(buffer: buffer)
        let epochBytes = (0..<4).map { UInt8(truncatingIfNeeded: coordinatorEpoch >> (24 - 8 * $0)) }
        let fits = builder.append(
            key: [0, 0, 0, isCommit ? 1 : 0], value: [0, 0] + epochBytes, timestampMilliseconds: timestampMilliseconds)
        precondition(fits, "a marker takes \(Self.batchBytes) bytes")
        return builder.seal(producerID: producerID, epoch: epoch, isTransactional: true, isControl: true)
    }
}
