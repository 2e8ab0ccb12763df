/// A received request: its header is read at once, its body when the API is known to be served.
///
/// A request whose version is not served has a header that can be answered: ApiVersions is, in version 0, with
/// ``KafkaError/unsupportedVersion``; with any other the connection ends.
/// - Ownership: borrows the frame, which must stay and not change until the body is read.
package struct RequestFrame {
    package let header: RequestHeader
    private var reader: FieldReader

    /// - Parameter frame: What follows the length prefix.
    package init(_ frame: UnsafeRawBufferPointer) throws(WireError) {
        reader = unsafe FieldReader(frame)
        var header = RequestHeader(apiKey: 0, apiVersion: 0, correlationId: 0, clientId: nil)
        reader.fieldName = "header.apiKey"
        try reader.integer(&header.apiKey)
        reader.fieldName = "header.apiVersion"
        try reader.integer(&header.apiVersion)
        reader.fieldName = "header.correlationId"
        try reader.integer(&header.correlationId)
        reader.fieldName = "header.clientId"
        try reader.string(&header.clientId)
        self.header = header
        reader.api = header.api
        reader.version = header.apiVersion
        guard let api = header.api, header.isKnown, api.isFlexible(header.apiVersion) else { return }
        reader.isFlexible = true
        reader.fieldName = "header.tags"
        try reader.unknownTags()
    }

    /// The body. What follows it is ignored: librdkafka's Metadata 12 for all topics has three such bytes, and Kafka
    /// does not look at them either.
    package consuming func body<M: KafkaRequest>(_: M.Type = M.self) throws(WireError) -> M { try read() }

    // The requests that move data are compiled for themselves: several times as fast. All others share the code above.
    package consuming func body(_: ProduceRequest.Type = ProduceRequest.self) throws(WireError) -> ProduceRequest {
        try read()
    }

    package consuming func body(_: FetchRequest.Type = FetchRequest.self) throws(WireError) -> FetchRequest {
        try read()
    }

    private consuming func read<M: KafkaRequest>() throws(WireError) -> M {
        precondition(header.api == M.apiKey, "the body of another API")
        reader.fieldName = "body"
        guard header.isKnown else { throw reader.error(.unsupportedVersion) }
        var message = M()
        try reader.structure(&message)
        return message
    }
}
