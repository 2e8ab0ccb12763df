internal import RecordFormat

/// A write of the coordinator's as a batch, in memory of its own until it has been appended.
@safe final class GroupBatch {
    /// The batch.
    let bytes: UnsafeMutableRawBufferPointer
    private let memory: UnsafeMutableRawBufferPointer

    init(_ write: GroupWrite, timestampMilliseconds: Int64) {
        let byteCount = write.records.reduce(RecordBatchHeader.byteCount) {
            $0 + $1.key.count + ($1.value?.count ?? 0) + GroupCoordinator.recordOverheadBytes
        }
        unsafe memory = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        var builder = unsafe RecordBatchBuilder(buffer: memory)
        for (key, value) in write.records {
            let fits = builder.append(key: key, value: value, timestampMilliseconds: timestampMilliseconds)
            precondition(fits, "a record is larger than was reckoned")
        }
        unsafe bytes = UnsafeMutableRawBufferPointer(rebasing: memory[..<builder.seal()])
    }

    deinit { unsafe memory.deallocate() }
}
