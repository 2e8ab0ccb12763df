// Producers and two consumer groups against a broker, while one of them is killed every second and one is stopped for
// longer than its session. Everything they do is written down; at the end the log and what they wrote must agree.
//
// Usage: group-chaos run URL SECONDS SEED DIRECTORY        the whole; prints what it found, status 0 when all is well
//        group-chaos produce URL NAME HISTORY               one producer, until SIGTERM
//        group-chaos consume URL GROUP NAME HISTORY         one member of a group, until SIGTERM
import Foundation
import RdmadClient
import TransportTestSupport

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch (arguments.first, arguments.count) {
    case ("run", 5):
        guard let seconds = Int(arguments[2]), let seed = UInt64(arguments[3]) else { throw usage }
        try await ChaosRun(
            url: arguments[1], seconds: seconds, seed: seed, directory: arguments[4]
        ).run()
    case ("produce", 4):
        try await produce(try BrokerAddress(arguments[1]), name: arguments[2], History(arguments[3]))
    case ("consume", 5):
        try await consume(
            try BrokerAddress(arguments[1]), group: arguments[2], name: arguments[3], History(arguments[4]))
    default: throw usage
    }
} catch {
    FileHandle.standardError.write(Data("group-chaos: \(error)\n".utf8))
    exit(1)
}

var usage: ScenarioFailure { ScenarioFailure("usage: group-chaos run URL SECONDS SEED DIRECTORY") }
