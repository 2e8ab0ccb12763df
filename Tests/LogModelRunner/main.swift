// `log-model OPERATIONS [SEED]`: random operations on the log against the model, in the fastest directory there is.
import Glibc
import LogModel

let arguments = CommandLine.arguments
guard arguments.count >= 2, let operations = Int(arguments[1]) else {
    print("usage: log-model OPERATIONS [SEED]")
    exit(2)
}
let environment = unsafe getenv("RDMAD_LOG_MODEL_SEED").map { unsafe String(cString: $0) }
let replayed = environment.flatMap { UInt64($0) }
let seed = replayed ?? (arguments.count > 2 ? UInt64(arguments[2]) : nil) ?? 1
let parent = (unsafe access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + "/log-model-\(getpid())"
unsafe mkdir(parent, 0o700)
do {
    let counts = try ModelRuns.run(
        seed: seed, operations: replayed == nil ? operations : ModelRuns.operationsPerRun, parent: parent)
    let parts = counts.sorted { $0.value > $1.value }.map { "\($0.value) \($0.key)" }
    print("\(counts.values.reduce(0, +)) operations from seed \(seed): \(parts.joined(separator: ", "))")
    ModelRuns.remove(parent)
} catch {
    print("\(error)")
    print("the files are in \(parent)")
    exit(1)
}
