import ArgumentParser
import Compression
import RecordFormat
import TopicLog

extension LogCommand {
    /// `rdmad log dump`: Kafka's `kafka-dump-log`, in its format.
    struct Dump: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print batches, and records on request, with where they are and whether they are sound.",
            discussion: """
                The lines are those of kafka-dump-log, and so are --deep-iteration and --print-data-log. Both look into
                compressed batches too.

                Exit status: 0 when all that was looked at is sound, 1 when something is damaged.
                """)
        @Argument(help: "A data directory, a partition's directory or a segment file.") var path: String
        @Option(help: "Begin with the batch that holds this offset.") var from: Int64 = 0
        @Option(help: "End before the batch that begins at or after this offset.") var to: Int64 = .max
        @Flag(name: [.long, .customLong("print-data-log")], help: "Print the records too.") var records = false
        @Flag(help: "Print of each record what it is, not what is in it.") var deepIteration = false

        func run() throws {
            var isSound = true
            for (partition, segments) in try LogCommand.segments(at: path) {
                for (base, path) in segments where base.rawValue < to {
                    print("Dumping \(partition == path ? path : partition + ", " + path)")
                    print("Log starting offset: \(base)")
                    isSound = try LogCommand.explained { try dump(base, path) } && isSound
                }
            }
            if !isSound { throw ExitCode(1) }
        }

        /// Returns whether all of it is sound.
        private func dump(_ base: Offset, _ path: String) throws -> Bool {
            let inspector = try LogInspector(path: path, expecting: base, allowsGaps: true)
            let contents = BatchContents()
            // Reading an option goes through its wrapper.
            let (records, deepIteration) = (records, deepIteration)
            var isSound = true
            while let finding = try inspector.next() {
                switch finding {
                case .batch(let header, let position):
                    guard header.lastOffset.rawValue >= from, header.baseOffset.rawValue < to else { continue }
                    print(Self.line(header, position))
                    guard records || deepIteration else { continue }
                    let damage = contents.damage(header, inspector) { record in
                        print(Self.line(record, of: header) + (records ? Self.contents(of: record) : ""))
                    }
                    guard let damage else { continue }
                    isSound = false
                    print("DAMAGED at byte \(position), though the checksum is right: \(damage)")
                case .damage(let damage):
                    isSound = false
                    print("DAMAGED \(damage)")
                }
            }
            return isSound
        }

        private static func line(_ header: RecordBatchHeader, _ position: Int64) -> String {
            let codec = header.compressionType.map { "\($0)" } ?? "\(header.attributes & 7)"
            return "baseOffset: \(header.baseOffset) lastOffset: \(header.lastOffset) count: \(header.recordCount) "
                + "baseSequence: \(header.baseSequence) "
                + "lastSequence: \(header.baseSequence < 0 ? -1 : header.lastSequence) "
                + "producerId: \(header.producerID) producerEpoch: \(header.producerEpoch) "
                + "partitionLeaderEpoch: \(header.partitionLeaderEpoch) isTransactional: \(header.isTransactional) "
                + "isControl: \(header.isControl) position: \(position) "
                + "\(timestampType(header)): \(header.maxTimestamp) "
                + "size: \(header.sizeInBytes) magic: \(header.magic) "
                + "compresscodec: \(codec) crc: \(header.crc) isvalid: true"
        }

        private static func timestampType(_ header: RecordBatchHeader) -> String {
            header.isLogAppendTime ? "LogAppendTime" : "CreateTime"
        }

        private static func line(_ record: RecordView, of header: RecordBatchHeader) -> String {
            let keys = record.headers.map { unsafe String(decoding: $0.key, as: UTF8.self) }
            let delta = Int32(truncatingIfNeeded: record.offset.rawValue - header.baseOffset.rawValue)
            let sequence =
                header.baseSequence < 0 ? -1 : RecordBatchHeader.sequence(header.baseSequence, advancedBy: delta)
            return "| offset: \(record.offset) \(timestampType(header)): \(record.timestampMilliseconds) "
                + "keySize: \(unsafe record.key?.count ?? -1) valueSize: \(unsafe record.value?.count ?? -1) "
                + "sequence: \(sequence) headerKeys: [\(keys.joined(separator: ","))]"
        }

        private static func contents(of record: RecordView) -> String {
            func text(_ bytes: UnsafeRawBufferPointer?) -> String? {
                unsafe bytes.map { unsafe String(decoding: $0, as: UTF8.self) }
            }
            return unsafe (text(record.key).map { " key: \($0)" } ?? "")
                + (text(record.value).map { " payload: \($0)" } ?? "")
        }
    }
}

/// What is in the batches of log files, decompressed when need be.
final class BatchContents {
    private let decompressor = Decompressor(bytesMax: 1 << 30)

    /// Calls `body` with each record of the batch that the inspector has just returned.
    /// - Returns: What is wrong with them, if anything. The checksum is right: their producer wrote them so.
    func damage(
        _ header: RecordBatchHeader, _ inspector: LogInspector, _ body: (RecordView) -> Void = { _ in }
    ) -> String? {
        unsafe inspector.withBatch(header) { bytes in
            do {
                var reader = unsafe try reader(bytes)
                while let record = try reader.next() { body(record) }
                return nil
            } catch { return "\(error)" }
        }
    }

    private func reader(_ batch: UnsafeRawBufferPointer) throws -> RecordReader {
        let header = unsafe try RecordReader.header(of: batch)
        guard header.isCompressed else { return unsafe try RecordReader(batch) }
        guard let type = header.compressionType else { throw Failure("codec \(header.attributes & 7) is not known") }
        let records = unsafe UnsafeRawBufferPointer(
            rebasing: batch[RecordBatchHeader.byteCount..<header.sizeInBytes])
        do throws(CompressionError) {
            return unsafe RecordReader(header, decompressed: try decompressor.decompress(type, records))
        } catch { throw Failure("\(type): \(error)") }
    }
}
