/// The length prefix of every frame: an int32 that does not count itself.
package enum FrameLength {
    package static let bytesCount = 4
    /// API key, version, correlation id and the client id's length.
    package static let requestBytesMin = 10

    /// Checks a received prefix before anything is allocated for what it announces.
    /// - Parameters:
    ///   - bytesMax: Longest request that the listener takes.
    ///   - bytesMin: Less only for what is no request: the tokens after SaslHandshake 0.
    package static func check(
        _ prefix: Int32, bytesMax: Int = WireLimits.requestBytesDefault, bytesMin: Int = requestBytesMin
    ) throws(WireError) -> Int {
        let problem: WireError.Problem? =
            if prefix < 0 {
                .negativeLength(Int(prefix))
            } else if prefix < bytesMin {
                .endsEarly(missing: bytesMin - Int(prefix))
            } else if prefix > bytesMax {
                .tooLong(Int(prefix), max: bytesMax)
            } else {
                nil
            }
        if let problem { throw WireError(api: nil, version: 0, field: "frame length", problem: problem) }
        return Int(prefix)
    }
}
