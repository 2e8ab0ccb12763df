/// The length prefix of every frame: an int32 that does not count itself.
package enum FrameLength {
    package static let bytesCount = 4
    /// API key, version, correlation id and the client id's length.
    package static let requestBytesMin = 10

    /// Checks a received prefix before anything is allocated for what it announces.
    /// - Parameter bytesMax: Longest request that the listener takes.
    package static func check(_ prefix: Int32, bytesMax: Int = WireLimits.requestBytesDefault) throws(WireError) -> Int
    {
        let problem: WireError.Problem? =
            if prefix < 0 {
                .negativeLength(Int(prefix))
            } else if prefix < requestBytesMin {
                .endsEarly(missing: requestBytesMin - Int(prefix))
            } else if prefix > bytesMax {
                .tooLong(Int(prefix), max: bytesMax)
            } else {
                nil
            }
        if let problem { throw WireError(api: nil, version: 0, field: "frame length", problem: problem) }
        return Int(prefix)
    }
}
