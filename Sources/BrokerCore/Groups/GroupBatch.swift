internal import RecordFormat

/// Records or a marker of the broker's own as a batch, in memory of its own until it has been appended.
@safe final class GroupBatch {
    /// The batch.
    let bytes: UnsafeMutableRawBufferPointer
    private let memory: UnsafeMutableRawBufferPointer

    /// - Parameter producer: Whose transaction decides whether they count; nil: they do.
    init(
        _ records: [(key: [UInt8], value: [UInt8]?)], in producer: ProducerEpoch? = nil, timestampMilliseconds: Int64
    ) {
        let byteCount = records.reduce(RecordBatchHeader.byteCount) {
            $0 + $1.key.count + ($1.value?.count ?? 0) + GroupCoordinator.recordOverheadBytes
        }
        unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        for (key, value) in records {
            let fits = builder.append(key: key, value: value, timestampMilliseconds: timestampMilliseconds)
            precondition(fits, "a record is larger than was reckoned")
        }
        let size = builder.seal(
            producerID: producer?.producerID ?? -1, epoch: producer?.epoch ?? -1, isTransactional: producer != nil)
        unsafe bytes = UnsafeMutableRawBufferPointer(rebasing: memory[..<size])
    }

    /// The end of a producer's transaction.
    init(_ marker: EndTransactionMarker, of producer: ProducerEpoch, timestampMilliseconds: Int64) {
        unsafe memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: EndTransactionMarker.batchBytes, alignment: 16)
        let size = unsafe marker.write(
            to: memory, producerID: producer.producerID, epoch: producer.epoch,
            timestampMilliseconds: timestampMilliseconds)
        unsafe bytes = UnsafeMutableRawBufferPointer(rebasing: memory[..<size])
    }

    deinit { unsafe memory.deallocate() }
}
