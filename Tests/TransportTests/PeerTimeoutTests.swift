import Testing

@testable import RDMATransport

/// How a configured time becomes a device's timer and a probe.
struct PeerTimeoutTests {
    /// Probe and all of the device's retries, each up to four times the timer, fit into the configured time.
    @Test(arguments: [100, 500, 4000, 10_000, 60_000, 600_000])
    func everythingFitsIntoTheConfiguredTime(milliseconds: Int) {
        let timeout = PeerTimeout(milliseconds: milliseconds)
        let wait: UInt64 = 4096 << UInt64(timeout.acknowledgementTimeoutCode)
        let retries = 4 * wait * UInt64(PeerTimeout.retryCount + 1)
        #expect(timeout.probeNanoseconds + retries <= UInt64(milliseconds) * 1_000_000)
        // And the timer is no shorter than that asks for.
        #expect(timeout.probeNanoseconds + 2 * retries > UInt64(milliseconds) * 1_000_000)
        #expect(timeout.acknowledgementTimeoutCode < 32)
    }

    /// Soft-RoCE retries for ever when told 7.
    @Test func retriesEnd() { #expect(PeerTimeout.retryCount < 7) }
}
