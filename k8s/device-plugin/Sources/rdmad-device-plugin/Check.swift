import ArgumentParser
import DevicePlugin
import Resources

/// Looks at a configuration file.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration file: nothing and 0, or what is wrong and 1.")

    @Argument(help: ArgumentHelp(valueName: "file"))
    var file: String

    func run() throws {
        let configuration = try Configuration(ConfigurationFile(file).text(), file: file)
        for remark in configuration.remarks { print("\(file): note: \(remark)") }
        for resource in configuration.resources { print("\(file): \(resource.name): \(resource.summary)") }
    }
}
