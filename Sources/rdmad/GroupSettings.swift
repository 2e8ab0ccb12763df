import ArgumentParser
import BrokerCore

/// Options of `rdmad serve` about consumer groups: Kafka's broker settings by name.
struct GroupSettings: ParsableArguments {
    @Option(name: .long, help: "Shortest session time-out that a group's member may ask for, in milliseconds.")
    var groupMinSessionTimeoutMs: UInt32 = 6_000

    @Option(name: .long, help: "Longest session time-out that a group's member may ask for, in milliseconds.")
    var groupMaxSessionTimeoutMs: UInt32 = 1_800_000

    @Option(name: .long, help: "How long a new group waits for more members, in milliseconds.")
    var groupInitialRebalanceDelayMs: UInt32 = 3_000

    @Option(name: .long, help: "How long a member that speaks the consumer protocol may be silent, in milliseconds.")
    var groupConsumerSessionTimeoutMs: UInt32 = 45_000

    @Option(name: .long, help: "How often such a member shall send heartbeats, in milliseconds.")
    var groupConsumerHeartbeatIntervalMs: UInt32 = 5_000

    @Option(name: .long, help: "Members that one group may have.")
    var groupMaxSize = 1_000

    @Option(name: .long, help: "Groups, those with committed offsets only among them.")
    var groupsMax = GroupOptions().groupsMax

    @Option(name: .long, help: "Committed offsets of all groups.")
    var offsetsMax = GroupOptions().offsetsMax

    @Option(name: .long, help: "Memory that all groups and committed offsets may take, in bytes.")
    var groupsBytesMax = 256 << 20

    @Option(name: .long, help: "Partitions of __consumer_offsets, when it is created.")
    var offsetsTopicNumPartitions = 4

    @Option(name: .long, help: "How long committed offsets outlive the group's last member, in minutes.")
    var offsetsRetentionMinutes: Int64 = 7 * 24 * 60

    @Option(name: .long, help: "Longest metadata that may be committed with an offset, in bytes.")
    var offsetMetadataMaxBytes = 4_096

    func validate() throws {
        guard groupMinSessionTimeoutMs > 0, groupMinSessionTimeoutMs <= groupMaxSessionTimeoutMs else {
            throw ValidationError(
                "--group-min-session-timeout-ms is at least 1 and at most --group-max-session-timeout-ms")
        }
        guard groupConsumerHeartbeatIntervalMs > 0, groupConsumerHeartbeatIntervalMs < groupConsumerSessionTimeoutMs
        else {
            throw ValidationError(
                "--group-consumer-heartbeat-interval-ms is at least 1 and less than "
                    + "--group-consumer-session-timeout-ms")
        }
        guard (1...10_000).contains(groupMaxSize) else { throw ValidationError("--group-max-size is 1 to 10000") }
        guard (1...1_000_000).contains(groupsMax) else { throw ValidationError("--groups-max is 1 to 1000000") }
        guard (1...100_000_000).contains(offsetsMax) else { throw ValidationError("--offsets-max is 1 to 100000000") }
        guard groupsBytesMax >= 1 << 20 else { throw ValidationError("--groups-bytes-max is at least 1048576") }
        guard (1...1_024).contains(offsetsTopicNumPartitions) else {
            throw ValidationError("--offsets-topic-num-partitions is 1 to 1024")
        }
        guard (1...1 << 40).contains(offsetsRetentionMinutes) else {
            throw ValidationError("--offsets-retention-minutes is 1 to 2^40")
        }
        guard (0...32_767).contains(offsetMetadataMaxBytes) else {
            throw ValidationError("--offset-metadata-max-bytes is 0 to 32767")
        }
    }

    var options: GroupOptions {
        var options = GroupOptions()
        options.sessionTimeoutMilliseconds = groupMinSessionTimeoutMs...groupMaxSessionTimeoutMs
        options.initialRebalanceDelayMilliseconds = groupInitialRebalanceDelayMs
        options.consumerSessionTimeoutMilliseconds = groupConsumerSessionTimeoutMs
        options.consumerHeartbeatIntervalMilliseconds = groupConsumerHeartbeatIntervalMs
        options.groupSizeMax = groupMaxSize
        options.groupsMax = groupsMax
        options.offsetsMax = offsetsMax
        options.totalBytesMax = groupsBytesMax
        options.offsetsTopicPartitions = offsetsTopicNumPartitions
        options.offsetsRetentionMinutes = offsetsRetentionMinutes
        options.offsetMetadataBytesMax = offsetMetadataMaxBytes
        return options
    }
}
