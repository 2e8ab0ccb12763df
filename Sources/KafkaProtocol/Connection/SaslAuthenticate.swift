/// A step of the mechanism.
package struct SaslAuthenticateRequest: KafkaRequest {
    package typealias Response = SaslAuthenticateResponse

    package var authBytes: [UInt8] = []

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("authBytes", &authBytes)
    }
}

/// The next step of the mechanism, or its end.
package struct SaslAuthenticateResponse: KafkaResponse {
    package static let apiKey = ApiKey.saslAuthenticate

    package var errorCode = KafkaError.none
    package var errorMessage: String?
    package var authBytes: [UInt8] = []
    package var sessionLifetimeMs: Int64 = 0

    package init() {}

    package mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.field("errorCode", &errorCode)
        try c.field("errorMessage", &errorMessage)
        try c.field("authBytes", &authBytes)
        try c.field("sessionLifetimeMs", &sessionLifetimeMs, since: 1)
    }
}
