# gRPC's own interop client and server for Ruby, which are C-core, as Debian's ruby-grpc brings them. What is added to them:
# several cases in one process, a client certificate, and a server on loopback only.
#
# usage: c_core_interop.rb cases                  the names of the client's cases, one per line
#        c_core_interop.rb client PORT CASE…      runs each on a channel of its own; one line per case: CASE PASS, or CASE FAIL WHY
#        c_core_interop.rb server                 serves in clear text on a free port; prints `port N`
#
# With C_CORE_CA, C_CORE_CERT and C_CORE_KEY (files) and C_CORE_SERVER_NAME the client speaks TLS and presents the certificate.

gem 'grpc'
SUITE = File.join(Gem.loaded_specs['grpc'].full_gem_path, 'src/ruby')
$LOAD_PATH.unshift(SUITE, File.join(SUITE, 'pb'))
CASE_SECONDS = 20

def load_client
  require File.join(SUITE, 'pb/test/client.rb')
  GRPC.logger.level = Logger::ERROR
  # Its own would trust the suite's test authority, and present nothing.
  Object.define_method(:test_creds) do
    GRPC::Core::ChannelCredentials.new(*%w[C_CORE_CA C_CORE_KEY C_CORE_CERT].map { |name| File.read(ENV.fetch(name)) })
  end
end

def run_case(name, port)
  secure = ENV.key?('C_CORE_CA')
  args = Args.new(nil, '127.0.0.1', ENV.fetch('C_CORE_SERVER_NAME', ''), nil, port, secure, name, true)
  Timeout.timeout(CASE_SECONDS) { NamedTests.new(create_stub(args), args).method(name).call }
  puts "#{name} PASS"
rescue StandardError => e
  puts "#{name} FAIL #{e.class}: #{e.message.lines.first}"
end

def serve
  on_loopback = Module.new do
    def add_http2_port(_address, credentials)
      port = super('127.0.0.1:0', credentials)
      puts "port #{port}"
      port
    end
  end
  require 'grpc'
  GRPC::RpcServer.prepend(on_loopback)
  ARGV.replace(%w[--port 0])
  load File.join(SUITE, 'pb/test/server.rb')
end

$stdout.sync = true
command, port, *cases = ARGV
case command
when 'server' then serve
when 'cases'
  load_client
  puts NamedTests.instance_methods(false)
when 'client'
  load_client
  cases.each { |name| run_case(name, port) }
else
  abort File.readlines(__FILE__)[3..6].join
end
