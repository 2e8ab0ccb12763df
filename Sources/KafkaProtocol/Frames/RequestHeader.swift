/// What every request begins with.
///
/// ```
/// int16 API key | int16 API version | int32 correlation id | nullable string client id [ | tags, if flexible ]
/// ```
///
/// The client id has a 16-bit length in every version, so that a broker can read it of versions that it does not know.
package struct RequestHeader: Equatable, Sendable {
    package var apiKey: Int16
    package var apiVersion: Int16
    /// Comes back with the response.
    package var correlationId: Int32
    package var clientId: String?

    /// Nil for an API that the codec does not know.
    package var api: ApiKey? { ApiKey(rawValue: apiKey) }

    /// Whether the codec knows the API in this version.
    package var isKnown: Bool { api?.versions.contains(apiVersion) ?? false }
}
