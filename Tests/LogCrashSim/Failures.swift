import LogSimulation

/// Every system call fails in turn.
enum Failures {
    static func check() -> Int32 {
        var checks = Checks()
        for fault in SystemCall.Fault.allCases {
            check(fault, false, &checks)
            // Whoever is interrupted for ever tries for ever.
            if fault != .interrupted { check(fault, true, &checks) }
        }
        return checks.summarize()
    }

    private static func check(_ fault: SystemCall.Fault, _ isLasting: Bool, _ checks: inout Checks) {
        let life = NthFailure(fault: fault, isLasting: isLasting)
        var broken = 0
        var refused = 0
        var poisoned = 0
        var number = 0
        while number < 1500 {
            number += 1
            do {
                let outcome = try life.run(number)
                if outcome.faultsMet == 0 { break }
                refused += outcome.failures.isEmpty ? 0 : 1
                poisoned += outcome.isPoisoned ? 1 : 0
            } catch {
                broken += 1
                if broken <= 5 { print("\(fault)\(isLasting ? " for good" : ""), call \(number): \(error)") }
            }
        }
        // What must be noticed was noticed; what a program has to live with was lived with.
        let isNoticed =
            switch fault {
            case .short: refused == 0
            case .tooManyFiles: refused > 0 && poisoned == 0
            case .inputOutput, .noSpace, .interrupted: refused > 0 && poisoned > 0
            }
        checks.note(
            broken == 0 && isNoticed && number > 20,
            "\(fault)\(isLasting ? ", for good," : "") at each of \(number - 1) calls: \(refused) times reported, "
                + "\(poisoned) times as a failed sync, \(broken) times a promise was broken")
    }
}
