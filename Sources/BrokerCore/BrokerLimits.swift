/// What one broker takes. Each refusal names the limit and the setting.
package struct BrokerLimits: Sendable {
    /// Topics (`--topics-max`).
    package var topicsMax = 10_000
    /// Partitions of all topics (`--partitions-max`). An idle one takes about 2 KiB of memory.
    package var partitionsMax = 100_000
    package init() {}
}
