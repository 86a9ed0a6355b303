-- Takes units from several buckets, or from none of them.
--
-- KEYS     one for each bucket
-- ARGV     for each bucket: units per period, period in microseconds, size,
--          units to take (negative: to give back)
-- returns  for each bucket: units remaining, microseconds to wait (0: allows),
--          microseconds until full
--
-- A bucket is a string "used at": so many units used at that microsecond.
-- What was used drains away evenly; a bucket with nothing used has no key.

local longest = 9e15 -- microseconds; what a Go duration holds

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function drained(state, n, per)
	local used, at = string.match(state or '', '^(%S+) (%S+)$')
	used, at = tonumber(used), tonumber(at)
	if not used or not at then return 0 end
	return math.max(0, used - math.max(0, now - at) * n / per)
end

local used, answer, allowed = {}, {}, true
for i, key in ipairs(KEYS) do
	local n, per = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
	local size, units = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
	local before = used[key] or drained(redis.call('GET', key), n, per)
	local after = math.max(0, before + units)
	used[key] = after
	-- Less than a microsecond short is not short: that is floating point.
	local wait = (after - size) * per / n
	if units > 0 and wait >= 1 then
		allowed = false
		wait, after = math.min(math.ceil(wait) + 1, longest), before
	else
		wait = 0
	end
	answer[3 * i - 2] = math.max(0, math.floor(size - after))
	answer[3 * i - 1] = wait
	answer[3 * i] = math.min(math.ceil(after * per / n), longest)
end

if allowed then
	for i, key in ipairs(KEYS) do
		if used[key] > 0 then
			-- One second longer than it takes, so that a clock that is set
			-- back a little does not lose what was used.
			local keep = math.min(answer[3 * i] / 1000 + 1000, 3e12)
			redis.call('SET', key, string.format('%.17g %.0f', used[key], now), 'PX', string.format('%.0f', keep))
		else
			redis.call('DEL', key)
		end
	end
end

return answer
