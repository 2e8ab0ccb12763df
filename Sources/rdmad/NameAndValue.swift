import ArgumentParser

/// The parts of a `--config NAME=VALUE`. A value may be empty, a name not.
func nameAndValue(of setting: String) throws -> (name: String, value: String) {
    guard let equals = setting.firstIndex(of: "="), equals > setting.startIndex else {
        throw ValidationError("--config is NAME=VALUE, not '\(setting)'")
    }
    return (String(setting[..<equals]), String(setting[setting.index(after: equals)...]))
}
