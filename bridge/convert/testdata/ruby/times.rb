# Reads the times of calendar objects with icalendar, the library of most Ruby programs.
#
# Each line of the input is {"ics": "…"}; each line of the output is the times of an object's events, in the order in which
# they are written in it and in seconds since 1970: {"times": […]}, or {"error": "…"}. Zones are those of the object's own
# VTIMEZONEs.
require "json"
require "stringio"
require "icalendar"

Icalendar.logger.level = Logger::FATAL

$stdin.each_line do |line|
  begin
    times = []
    calendar = Icalendar::Calendar.parse(JSON.parse(line)["ics"]).first
    calendar.events.each do |event|
      ([event.dtstart, event.dtend, event.recurrence_id] + event.exdate.flatten + event.rdate.flatten).compact.each do |t|
        times << t.to_time.to_i unless t.is_a?(Icalendar::Values::Date)
      end
    end
    answer = { times: times.sort }
  rescue StandardError => e
    answer = { error: "#{e.class}: #{e.message}" }
  end
  puts JSON.generate(answer)
end
