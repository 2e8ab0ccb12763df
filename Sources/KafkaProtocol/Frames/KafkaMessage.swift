/// A request's or a response's body.
package protocol KafkaMessage: WireStructure {
    static var apiKey: ApiKey { get }
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
