// Cuts the power of a simulated machine under the log, and kills real processes under it (docs/HACKING.md).
import Glibc
import LogSimulation

let words = CommandLine.arguments.dropFirst()
let number = words.dropFirst().first.flatMap { UInt64($0) }
switch (words.first, number) {
case ("power-loss", let seeds?):
    let first = words.dropFirst(2).first.flatMap { UInt64($0) } ?? 1
    exit(PowerLoss.check(first..<(first + seeds)))
case ("failures", _):
    exit(Failures.check())
case ("replay", let seed?):
    exit(PowerLoss.replay(seed))
case ("kill", let times?) where words.count == 3:
    exit(Kills.check(Int(times), words.last!))
case ("append", _) where words.count == 2:
    Kills.appendForEver(words.last!)
default:
    print("usage: log-crash-sim power-loss SEEDS [FIRST] | replay SEED | failures | kill TIMES DIRECTORY")
    exit(2)
}
