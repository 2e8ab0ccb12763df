/// A frame to send, with its length prefix: bytes, and gaps between them where records go.
///
/// ```
/// bytes[0 ..< gaps[0].position] | gaps[0].count bytes of records | bytes[gaps[0].position ..< gaps[1].position] | …
/// ```
package struct EncodedFrame: Equatable, Sendable {
    package let bytes: [UInt8]
    /// In the order of the message's ``Records``, without those that are null or empty.
    package let gaps: [Gap]

    /// Records that are sent between two bytes of the frame.
    package struct Gap: Equatable, Sendable {
        /// The first byte behind the gap, in ``EncodedFrame/bytes``.
        package let position: Int
        /// Length of the records, in bytes.
        package let count: Int
    }

    package init(bytes: [UInt8], gaps: [Gap]) {
        self.bytes = bytes
        self.gaps = gaps
    }

    /// A response to a request of `version`.
    ///
    /// The header is the correlation id, and in flexible versions no tags; but never tags for ApiVersions, whose client
    /// may not know the version that it is answered in (KIP-511).
    package init<M: KafkaResponse>(_ response: M, version: Int16, correlationId: Int32) throws(WireError) {
        self = try Self.encode(response, version, correlationId)
    }

    // The responses that move data, and the one with the most fields, are compiled for themselves (``RequestFrame``).
    package init(_ response: ProduceResponse, version: Int16, correlationId: Int32) throws(WireError) {
        self = try Self.encode(response, version, correlationId)
    }

    package init(_ response: FetchResponse, version: Int16, correlationId: Int32) throws(WireError) {
        self = try Self.encode(response, version, correlationId)
    }

    package init(_ response: MetadataResponse, version: Int16, correlationId: Int32) throws(WireError) {
        self = try Self.encode(response, version, correlationId)
    }

    private static func encode<M: KafkaResponse>(
        _ response: M, _ version: Int16, _ correlationId: Int32
    ) throws(WireError) -> EncodedFrame {
        precondition(M.apiKey.versions.contains(version), "a response in a version that the codec does not know")
        var writer = FieldWriter(M.apiKey, version: version)
        writer.append(Int32(0))
        writer.append(correlationId)
        if writer.isFlexible, M.apiKey != .apiVersions { writer.varint(0) }
        var response = response
        try writer.structure(&response)
        return try writer.frame()
    }
}
