internal import Compression
public import RecordFormat
internal import TopicProtocol

/// Records that the broker wrote into this process's memory: read them in place, then release them.
///
/// - Ownership: the memory goes back to the broker with ``release()``, or with the last reference. Views of records
///   are valid only until then; those of compressed batches only during the call that gets them. Only ``release()``
///   says that the records have been processed: what was dropped without it is never committed by itself.
/// - Threading: any, one at a time.
@safe public final class ConsumedBatches: @unchecked Sendable {
    // Unchecked: immutable but for the flag, which one user at a time sets.
    /// The topic they are of.
    public let topic: String
    /// The partition they are of.
    public let partition: Int
    /// Offset of the first record handed out.
    public let firstOffset: Int64
    /// Offset after the last record.
    public let nextOffset: Int64
    /// Offset after the last record that the partition had to give when this was written.
    public let highWatermark: Int64
    /// Bytes of the batches.
    public let byteCount: Int
    private let ring: ConsumerRing
    private let bytes: UnsafeRawBufferPointer
    private let start: UInt64
    /// Told when the broker may get memory back; whether the application said so, or the last reference went.
    private let onRelease: @Sendable (_ isMeant: Bool) -> Void
    private let decompressors: DecompressorPool
    /// Set when they are handed out.
    var progress: ConsumptionProgress?
    private var isReleased = false

    init(
        _ name: TopicPartition, entry: RingEntry, start: UInt64, firstOffset: Int64, ring: ConsumerRing,
        decompressors: DecompressorPool, onRelease: @escaping @Sendable (Bool) -> Void
    ) {
        topic = name.topic
        partition = name.partition
        self.firstOffset = firstOffset
        nextOffset = entry.nextOffset
        highWatermark = entry.highWatermark
        byteCount = entry.byteCount
        self.ring = ring
        self.start = start
        unsafe bytes = ring.batches(entry, at: start)
        self.decompressors = decompressors
        self.onRelease = onRelease
    }

    deinit { giveBack(isProcessed: false) }

    /// True when nothing followed in the partition at the time this was written.
    public var isCaughtUp: Bool { nextOffset >= highWatermark }

    /// Gives the memory back: the records have been processed. Order does not matter; twice does no harm.
    public func release() { giveBack(isProcessed: true) }

    private func giveBack(isProcessed: Bool) {
        guard !isReleased else { return }
        isReleased = true
        progress?.release(to: nextOffset, isProcessed: isProcessed)
        if ring.release(start: start) { onRelease(isProcessed) }
    }

    /// Calls `body` with each record, in order of offsets.
    /// - Throws: ``ClientError`` when the records are malformed; what `body` throws.
    public func forEachRecord(_ body: (Record) throws -> Void) throws {
        precondition(!isReleased, "the batches were released")
        var rest = unsafe bytes
        var decompressor: Decompressor?
        defer { if let decompressor { decompressors.put(decompressor) } }
        while rest.count > 0 {
            let size = unsafe try Self.batchSize(rest)
            let batch = unsafe UnsafeRawBufferPointer(rebasing: rest[..<size])
            unsafe rest = unsafe UnsafeRawBufferPointer(rebasing: rest[size...])
            // The ends of transactions are nobody's records.
            if unsafe RecordBatchHeader(parsing: batch).isControl { continue }
            var reader = unsafe try reader(of: batch, &decompressor)
            while let view = try nextRecord(&reader) {
                // A batch may begin before the offset that was asked for.
                guard view.offset.rawValue >= firstOffset else { continue }
                try body(
                    unsafe Record(
                        offset: view.offset.rawValue, timestampMilliseconds: view.timestampMilliseconds, key: view.key,
                        value: view.value, headerViews: view.headers))
            }
        }
    }

    /// Reads a batch, decompressed if need be: valid until the next one.
    private func reader(
        of batch: UnsafeRawBufferPointer, _ decompressor: inout Decompressor?
    ) throws(ClientError) -> RecordReader {
        let header: RecordBatchHeader
        let type: CompressionType
        do throws(RecordBatchError) {
            header = unsafe try RecordReader.header(of: batch)
            guard let known = header.compressionType, known != .none else { return unsafe try RecordReader(batch) }
            type = known
        } catch {
            throw malformed(error)
        }
        let taken = decompressor ?? decompressors.take()
        decompressor = taken
        let records = unsafe UnsafeRawBufferPointer(rebasing: batch[RecordBatchHeader.byteCount...])
        do throws(CompressionError) {
            return unsafe RecordReader(header, decompressed: try taken.decompress(type, records))
        } catch {
            let place = "\(topic) partition \(partition), the batch at offset \(header.baseOffset)"
            guard error.code == .tooLarge else { throw ClientError(.protocolViolation, "\(place): \(error)") }
            throw ClientError(.limit, "\(place): \(error): raise decompressedBytesMax")
        }
    }

    /// Checks every batch's length and checksum.
    func verify() throws(ClientError) {
        var rest = unsafe bytes
        while rest.count > 0 {
            let size = unsafe try Self.batchSize(rest)
            do throws(RecordBatchError) {
                _ = unsafe try RecordBatch.validate(
                    UnsafeRawBufferPointer(rebasing: rest[..<size]), bytesMax: size, isStored: true)
            } catch {
                throw malformed(error)
            }
            unsafe rest = unsafe UnsafeRawBufferPointer(rebasing: rest[size...])
        }
    }

    private func nextRecord(_ reader: inout RecordReader) throws(ClientError) -> RecordView? {
        do throws(RecordBatchError) { return try reader.next() } catch { throw malformed(error) }
    }

    private func malformed(_ error: RecordBatchError) -> ClientError {
        ClientError(.protocolViolation, "\(topic) partition \(partition) from offset \(firstOffset): \(error)")
    }

    private static func batchSize(_ bytes: UnsafeRawBufferPointer) throws(ClientError) -> Int {
        guard bytes.count >= RecordBatchHeader.byteCount else {
            throw ClientError(.protocolViolation, "\(bytes.count) bytes where a batch should be")
        }
        let size = unsafe RecordBatchHeader(parsing: bytes).sizeInBytes
        guard size >= RecordBatchHeader.byteCount, size <= bytes.count else {
            throw ClientError(.protocolViolation, "a batch of \(size) bytes where \(bytes.count) are left")
        }
        return size
    }
}

/// A record, in place. Key and value are valid until its ``ConsumedBatches`` is released, or, of a compressed batch,
/// until ``ConsumedBatches/forEachRecord(_:)`` goes on.
@safe public struct Record {
    public let offset: Int64
    /// Since 1970.
    public let timestampMilliseconds: Int64
    /// Nil when there is none.
    public let key: UnsafeRawBufferPointer?
    /// Nil for a tombstone.
    public let value: UnsafeRawBufferPointer?
    let headerViews: RecordHeaderViews

    /// What travels with it: copies, made when they are asked for.
    public var headers: [RecordHeader] { headerViews.map(\.copy) }
}
