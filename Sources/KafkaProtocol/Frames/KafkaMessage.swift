/// A request's or a response's body.
package protocol KafkaMessage: WireStructure {
    static var apiKey: ApiKey { get }

    // Requirements, so that each message has its own compiled pair of them: all fields are inlined for one coder.
    // What calls them, from any module, pays for one indirect call a message.
    mutating func read(from reader: inout FieldReader) throws(WireError)
    func write(to writer: inout FieldWriter) throws(WireError)
}

extension KafkaMessage {
    package mutating func read(from reader: inout FieldReader) throws(WireError) { try reader.structure(&self) }

    package func write(to writer: inout FieldWriter) throws(WireError) {
        var message = self
        try writer.structure(&message)
    }
}

/// What a client asks.
package protocol KafkaRequest: KafkaMessage {
    associatedtype Response: KafkaResponse
}

/// What a broker answers.
package protocol KafkaResponse: KafkaMessage {}

extension KafkaRequest {
    package static var apiKey: ApiKey { Response.apiKey }
}
