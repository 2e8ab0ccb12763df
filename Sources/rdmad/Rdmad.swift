import ArgumentParser

@main struct Rdmad: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rdmad", abstract: "x", subcommands: [Serve.self])
}
