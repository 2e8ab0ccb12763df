import ArgumentParser
import RdmadClient

/// What `consume` sets of the client library's consumer.
struct ConsumerOptions: ParsableArguments {
    @Option(name: [.long, .short], help: "Read as a member of this consumer group.") var group: String?
    @Option(help: "The member's own name, which survives a restart (group.instance.id).") var instanceID: String?
    @Option(
        help: ArgumentHelp(
            "How the group divides partitions: range, roundrobin or cooperative-sticky. May be given again.",
            valueName: "name"), transform: parseAssignor) var assignor: [Assignor] = []
    @Option(help: "A member that was not heard of for so long is out of the group.") var sessionTimeoutMs: Int?
    @Flag(inversion: .prefixedNo, help: "Commit what was written.") var autoCommit = true
    @Option(
        help: ArgumentHelp(
            "Read records of open and aborted transactions (read_uncommitted), or not (read_committed).",
            valueName: "level"), transform: parseIsolationLevel) var isolationLevel: Consumer.IsolationLevel?
    @Option(help: "Memory that the broker writes into, in bytes.") var ringBytes: Int?
    @Option(help: "Whom the broker counts quotas for, at most 32 bytes (client.id).") var clientID: String?
    @Option(
        name: [.long, .customShort("X")],
        help: ArgumentHelp("A setting by Kafka's name, such as max.poll.interval.ms=60000.", valueName: "name=value"))
    var config: [String] = []

    /// The settings, in the order: defaults, `--config`, options of their own.
    func configuration() throws -> Consumer.Configuration {
        var result = Consumer.Configuration()
        for setting in config {
            let (name, value) = try nameAndValue(of: setting)
            do throws(ClientError) { try result.set(name, to: value) } catch { throw ValidationError("\(error)") }
        }
        if let group { result.groupID = group }
        if let instanceID { result.instanceID = instanceID }
        if !assignor.isEmpty { result.assignors = assignor }
        if let sessionTimeoutMs {
            result.sessionTimeoutMilliseconds = sessionTimeoutMs
            result.heartbeatIntervalMilliseconds = max(
                1, min(result.heartbeatIntervalMilliseconds, sessionTimeoutMs / 3))
        }
        if !autoCommit { result.autoCommit = false }
        if let isolationLevel { result.isolationLevel = isolationLevel }
        if let ringBytes { result.ringBytes = ringBytes }
        if let clientID { result.clientID = clientID }
        return result
    }

    func validate() throws {
        let configuration = try configuration()
        guard configuration.groupID != nil || configuration.instanceID == nil && assignor.isEmpty else {
            throw ValidationError("--instance-id and --assignor belong to --group")
        }
    }
}

/// An assignor by Kafka's name.
private func parseAssignor(_ name: String) throws -> Assignor {
    guard let assignor = Assignor(rawValue: name) else {
        throw ValidationError(
            "an assignor is \(Assignor.allCases.map(\.rawValue).joined(separator: ", ")), not '\(name)'")
    }
    return assignor
}

private func parseIsolationLevel(_ name: String) throws -> Consumer.IsolationLevel {
    guard let level = Consumer.IsolationLevel(rawValue: name) else {
        let names = Consumer.IsolationLevel.allCases.map(\.rawValue).joined(separator: " or ")
        throw ValidationError("an isolation level is \(names), not '\(name)'")
    }
    return level
}
