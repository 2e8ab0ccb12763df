import Foundation
import KafkaProtocol

/// A frame of another implementation, with what its fields hold.
struct GoldenFrame: CustomStringConvertible {
    let api: ApiKey
    let isRequest: Bool
    let version: Int16
    /// With its length prefix.
    let bytes: [UInt8]
    let fields: String

    var description: String { "\(api.name) \(isRequest ? "request" : "response") v\(version)" }

    /// The frames of a file of `golden`, without those of versions that the codec does not know.
    static func load(_ name: String) throws -> [GoldenFrame] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("golden")
        let text = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
        return try text.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: " ", maxSplits: 4).map(String.init)
            guard parts.count == 5, let api = ApiKey.allCases.first(where: { $0.name == parts[0] }),
                let version = Int16(parts[2])
            else { throw GoldenError(line: String(line.prefix(80))) }
            guard api.versions.contains(version) else { return nil }
            return GoldenFrame(
                api: api, isRequest: parts[1] == "Request", version: version, bytes: hex(parts[3]), fields: parts[4])
        }
    }

    private static func hex(_ text: String) -> [UInt8] {
        let digits = text.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

struct GoldenError: Error {
    let line: String
}

/// A message of any kind that was read from a frame.
struct DecodedFrame {
    /// The message's fields (``DumpCoder``).
    let fields: String
    /// The same frame, written from the message, with the records of the frame it was read from.
    let encodedAgain: [UInt8]
}

extension GoldenFrame {
    /// Reads bytes as what this frame is, and writes the message again.
    /// - Parameter bytes: A frame with its length prefix, which need not be right.
    func decode(_ bytes: [UInt8]) throws(WireError) -> DecodedFrame {
        try isRequest ? request(Messages.request(api), bytes) : response(Messages.request(api), bytes)
    }

    private func request<M: KafkaRequest>(_: M.Type, _ bytes: [UInt8]) throws(WireError) -> DecodedFrame {
        unsafe try withFrame(bytes) { frame throws(WireError) in
            let received = unsafe try RequestFrame(frame)
            let header = received.header
            guard header.apiKey == api.rawValue, header.apiVersion == version else {
                throw WireError(
                    api: header.api, version: header.apiVersion, field: "test", problem: .unsupportedVersion)
            }
            let message = try received.body(M.self)
            let again = try KafkaProtocolTests.encode(
                message, version: version, correlationId: header.correlationId, clientId: header.clientId)
            return DecodedFrame(
                fields: try DumpCoder.dump(message, version: version),
                encodedAgain: again.filled(try RecordsFinder.records(of: message, version: version), from: bytes))
        }
    }

    private func response<M: KafkaRequest>(_: M.Type, _ bytes: [UInt8]) throws(WireError) -> DecodedFrame {
        unsafe try withFrame(bytes) { frame throws(WireError) in
            let (id, message) = unsafe try KafkaProtocolTests.decode(M.Response.self, version: version, frame)
            let again = try EncodedFrame(message, version: version, correlationId: id)
            return DecodedFrame(
                fields: try DumpCoder.dump(message, version: version),
                encodedAgain: again.filled(try RecordsFinder.records(of: message, version: version), from: bytes))
        }
    }
}

extension EncodedFrame {
    /// The whole frame, its gaps filled from `source`, a frame with its length prefix.
    func filled(_ records: [Records], from source: [UInt8]) -> [UInt8] {
        var frame: [UInt8] = []
        var position = 0
        for (gap, records) in zip(gaps, records) {
            precondition(gap.count == records.count)
            let start = records.offset + FrameLength.bytesCount
            frame += bytes[position..<gap.position] + source[start..<start + records.count]
            position = gap.position
        }
        return frame + bytes[position...]
    }
}
