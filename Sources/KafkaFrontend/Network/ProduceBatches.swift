internal import Compression
internal import KafkaProtocol
internal import RecordFormat

/// Judges the batches of a Produce request where they were received, as Kafka's broker does.
enum ProduceBatches {
    /// One for each partition, in the request's order.
    /// - Parameter inspector: Looks at each record; nil: nobody does.
    static func check(
        _ request: ProduceRequest, version: Int16, in frame: UnsafeRawBufferPointer, bytesMax: Int,
        inspector: RecordInspector?
    ) -> [ReceivedBatch] {
        inspector?.beginRequest()
        var batches: [ReceivedBatch] = []
        for topic in request.topicData {
            for partition in topic.partitionData {
                unsafe batches.append(check(partition.records, version, in: frame, bytesMax: bytesMax, inspector))
            }
        }
        return batches
    }

    private static func check(
        _ records: Records?, _ version: Int16, in frame: UnsafeRawBufferPointer, bytesMax: Int,
        _ inspector: RecordInspector?
    ) -> ReceivedBatch {
        guard let records, records.count > 0 else {
            return .invalid(.invalidRecord, "no record batch: there must be exactly one for each partition")
        }
        let range = records.offset..<records.offset + records.count
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: frame[range])
        do {
            let header = unsafe try RecordBatch.validate(bytes, bytesMax: bytesMax)
            if header.isControl { return .invalid(.invalidRecord, "clients do not write control batches") }
            if header.compressionType == .zstd, version < 7 {
                return .invalid(.unsupportedCompressionType, "zstd needs Produce 7")
            }
            return .batch(range, keyless: unsafe try inspector?.inspect(bytes))
        } catch {
            return .invalid(code(of: error), error.message)
        }
    }

    private static func code(of error: RecordBatchError) -> KafkaError {
        switch error.code {
        case .tooLarge: .messageTooLarge
        case .checksumMismatch: .corruptMessage
        case .noMemory: .kafkaStorageError
        case .unsupportedCompression: .unsupportedCompressionType
        // Another magic as well: Kafka takes that for no record batch of a Produce request since version 3.
        default: .invalidRecord
        }
    }
}
