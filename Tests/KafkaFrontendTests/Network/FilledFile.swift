import Foundation
import Glibc
import KafkaProtocol

@testable import KafkaFrontend
@testable import TopicLog

/// A file with known bytes, removed at the end, and fetch answers of ranges of it.
final class FilledFile: Sendable {
    let bytes: [UInt8]
    let file: LogFile
    private let path: String

    init(count: Int) throws {
        bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) }
        path = FileManager.default.temporaryDirectory.appendingPathComponent("rdmad-\(UUID())").path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let descriptor = SystemStorage().open(path, O_RDONLY)
        guard descriptor >= 0 else { throw RawClientError("open: errno \(errno)") }
        file = LogFile(descriptor: descriptor, path: path, storage: SystemStorage())
    }

    deinit { _ = unsafe unlink(path) }

    /// A topic with a partition for each range.
    func answer(_ ranges: [Range<Int>]) -> KafkaAnswer.Body {
        var topic = FetchResponse.FetchableTopicResponse()
        topic.topic = "t"
        topic.partitions = ranges.map {
            var partition = FetchResponse.PartitionData()
            partition.records = Records(count: $0.count)
            return partition
        }
        var response = FetchResponse()
        response.responses = [topic]
        return .fetch(
            response,
            ranges: ranges.filter { !$0.isEmpty }.map {
                FileRange(file: file, position: Int64($0.lowerBound), count: $0.count)
            })
    }

    /// The frame that ``answer(_:)`` makes, without its length, in Fetch 4.
    func frame(_ ranges: [Range<Int>], correlationID: Int32) -> [UInt8] {
        var frame = Requests.bytes(correlationID) + Requests.bytes(Int32(0)) + Requests.bytes(Int32(1))
        frame += Requests.string("t") + Requests.bytes(Int32(ranges.count))
        for range in ranges {
            frame += Requests.bytes(Int32(0)) + Requests.bytes(Int16(0)) + Requests.bytes(Int64(0))
            frame += Requests.bytes(Int64(-1)) + Requests.bytes(Int32(-1)) + Requests.bytes(Int32(range.count))
            frame += bytes[range]
        }
        return frame
    }
}
