/// Chooses how to authenticate.
package struct SaslHandshakeRequest: KafkaRequest {
    package typealias Response = SaslHandshakeResponse

    package var mechanism = ""

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("mechanism", &mechanism)
    }
}

/// The mechanisms that the broker knows.
package struct SaslHandshakeResponse: KafkaResponse {
    package static let apiKey = ApiKey.saslHandshake

    package var errorCode = KafkaError.none
    package var mechanisms: [String] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("errorCode", &errorCode)
        try c.field("mechanisms", &mechanisms)
    }
}
