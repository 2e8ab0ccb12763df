/// Counts checks, as `tools/test` reads them.
struct Checks {
    private var passed = 0
    private var failed = 0

    mutating func note(_ isGood: Bool, _ what: String) {
        print(isGood ? "ok \(what)" : "FAILED \(what)")
        if isGood { passed += 1 } else { failed += 1 }
    }

    /// Prints the last line. Returns the exit status.
    func summarize() -> Int32 {
        print("\(passed) passed, \(failed) failed")
        return failed == 0 ? 0 : 1
    }
}
