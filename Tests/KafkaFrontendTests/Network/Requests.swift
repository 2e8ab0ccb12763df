import KafkaProtocol
import RecordFormat

@testable import KafkaFrontend

/// Requests as bytes, and answers for them.
enum Requests {
    static func frame(_ api: Int16, version: Int16, correlationID: Int32 = 1, _ body: [UInt8] = []) -> [UInt8] {
        prefixed(bytes(api) + bytes(version) + bytes(correlationID) + bytes(Int16(4)) + Array("test".utf8) + body)
    }

    /// Heartbeat 0: the smallest request that goes to the reactor.
    static func heartbeat(_ correlationID: Int32) -> [UInt8] {
        frame(12, version: 0, correlationID: correlationID, string("g") + bytes(Int32(1)) + string("m"))
    }

    static func apiVersions(_ version: Int16, _ correlationID: Int32) -> [UInt8] {
        frame(18, version: version, correlationID: correlationID)
    }

    /// Produce 3, one partition.
    static func produce(_ records: [UInt8]?, correlationID: Int32 = 1, acks: Int16 = -1) -> [UInt8] {
        frame(
            0, version: 3, correlationID: correlationID,
            bytes(Int16(-1)) + bytes(acks) + bytes(Int32(1000)) + bytes(Int32(1)) + string("t") + bytes(Int32(1))
                + bytes(Int32(0)) + bytes(records.map { Int32($0.count) } ?? -1) + (records ?? []))
    }

    /// Fetch 4, one partition.
    static func fetch(_ correlationID: Int32) -> [UInt8] {
        frame(
            1, version: 4, correlationID: correlationID,
            bytes(Int32(-1)) + bytes(Int32(500)) + bytes(Int32(1)) + bytes(Int32.max) + [0] + bytes(Int32(1))
                + string("t") + bytes(Int32(1)) + bytes(Int32(0)) + bytes(Int64(0)) + bytes(Int32.max))
    }

    /// A batch with one record whose value has so many bytes.
    static func batch(valueBytes: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: valueBytes + 128)
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            var builder = unsafe RecordBatchBuilder(buffer: buffer)
            let value = (0..<valueBytes).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let isAdded = unsafe value.withUnsafeBytes {
                unsafe builder.append(key: nil, value: $0, timestampMilliseconds: 1)
            }
            precondition(isAdded)
            return builder.seal()
        }
        return Array(bytes[..<count])
    }

    static func prefixed(_ body: [UInt8]) -> [UInt8] { bytes(Int32(body.count)) + body }

    static func string(_ text: String) -> [UInt8] { bytes(Int16(text.utf8.count)) + Array(text.utf8) }

    static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<T.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }

    /// An answer for any command, that says nothing.
    static func emptyAnswer(_ command: KafkaCommand) -> [KafkaAnswer] {
        let body: KafkaAnswer.Body
        switch command.body {
        case .opened, .closed: return []
        case .produce(let request, _, _, _): body = request.acks == 0 ? .nothing : .produce(ProduceResponse())
        case .fetch: body = .fetch(FetchResponse(), ranges: [])
        case .request(let request, _): body = .response(empty(request))
        }
        return [KafkaAnswer(connection: command.connection, number: command.number, body: body)]
    }

    private static func empty<R: KafkaRequest>(_: R) -> any KafkaResponse & Sendable { R.Response() }
}
