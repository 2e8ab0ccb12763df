import TransportTestSupport

/// What one end does, from its command line.
struct LinkOptions {
    /// `server` or `client`.
    var role: String
    /// What each end sends and reads. Both must be told the same.
    var sends = 2000
    var reads = 200
    var writes = 200
    /// Arguments of `tc qdisc add dev vec0 root netem`, run once connected.
    var netem: String?
    var peerTimeoutMilliseconds: Int?
    /// Nothing is transferred: only the end is awaited.
    var isIdle = false
    /// After so many messages received, `cutCommand` runs. By default nothing leaves and nothing comes any more.
    var cutAfter: Int?
    var cutCommand = """
        tc qdisc add dev vec0 clsact && tc filter add dev vec0 ingress matchall action drop &&
        tc qdisc replace dev vec0 root netem loss 100%
        """
    /// After so many messages received, this process kills itself.
    var dieAfter: Int?
    /// After so many messages received, prints `flowing`; when idle, at once.
    var announceAfter: Int?
    /// The connection must end before the transfer does, for this ``DisconnectReason``, or one of several: `a|b`.
    var expectedEnd: String?
    /// Counters of the device that must have grown, and those that must not.
    var required: [String] = []
    var forbidden: [String] = []

    init(_ words: [String]) throws {
        try expect(words.first == "server" || words.first == "client", "the first argument is server or client")
        role = words[0]
        var rest = words.dropFirst()
        func value(of option: String) throws -> String {
            guard let value = rest.popFirst() else { throw ScenarioFailure("\(option) needs a value") }
            return value
        }
        func number(of option: String) throws -> Int {
            guard let number = Int(try value(of: option)) else { throw ScenarioFailure("\(option) takes a number") }
            return number
        }
        while let option = rest.popFirst() {
            switch option {
            case "--sends": sends = try number(of: option)
            case "--reads": reads = try number(of: option)
            case "--writes": writes = try number(of: option)
            case "--netem": netem = try value(of: option)
            case "--peer-timeout": peerTimeoutMilliseconds = try number(of: option)
            case "--idle": isIdle = true
            case "--cut-after": cutAfter = try number(of: option)
            case "--cut-by": cutCommand = try value(of: option)
            case "--die-after": dieAfter = try number(of: option)
            case "--announce-after": announceAfter = try number(of: option)
            case "--expect-end": expectedEnd = try value(of: option)
            case "--require": required.append(try value(of: option))
            case "--forbid": forbidden.append(try value(of: option))
            default: throw ScenarioFailure("unknown option \(option)")
            }
        }
    }
}
